"""The numbers of a tensor that is not used where it lies."""

import numpy as np
from numpy.typing import NDArray

from moorage.errors import ModelError
from moorage.models.files.opening import exactly, opened
from moorage.models.files.safetensors import Tensor


def numbers(tensor: Tensor) -> NDArray[np.float32]:
    """In its shape. Raises ModelError: a failed read, a type that is none of the usual three."""
    with opened(tensor.file) as (file, _):
        file.seek(tensor.offset)
        content = exactly(file, tensor.length)
    match tensor.dtype:
        case "F32":
            flat = np.frombuffer(content, "<f4")
        case "F16":
            flat = np.frombuffer(content, "<f2").astype(np.float32)
        case "BF16":  # the upper half of a float32
            flat = (np.frombuffer(content, "<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)
        case other:
            raise ModelError(f"{str(tensor.file)!r} has a layer in {other}; served are F32, F16 and BF16")
    return flat.reshape(tensor.shape)
