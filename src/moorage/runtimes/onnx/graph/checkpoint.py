"""The tensors of a checkpoint as a graph refers to them: by name, with the shape they must have, where they lie."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from moorage.errors import ModelError
from moorage.models.files.safetensors import Tensor, tensors
from moorage.runtimes.encoding.graphs.weights import numbers
from moorage.runtimes.onnx.graph.nodes import BFLOAT16, FLOAT, FLOAT16, Nodes, Value

_KINDS = {"F32": FLOAT, "F16": FLOAT16, "BF16": BFLOAT16}
_FOLDER = "session.model_external_initializers_file_folder_path"
_OLD_NAMES = {".weight": ".gamma", ".bias": ".beta"}
"""What converters of TensorFlow checkpoints called the parts of a normalisation."""


class Checkpoint:
    """The tensors of a folder by the names the architecture gives them, whatever model they were saved as part of."""

    def __init__(self, folder: Path, found: Mapping[str, Tensor], marker: str, *, quantize: bool) -> None:
        """`marker` names a tensor that every checkpoint of the architecture has: what stands before it is the
        encoder's prefix. Raises ModelError where none or several have it."""
        self.quantize = quantize
        """Whether the matrices of the layers are to be rounded to 8 bits."""
        self._folder = folder
        self._tensors = found
        prefixes = [name.removesuffix(marker) for name in found if name == marker or name.endswith(f".{marker}")]
        if len(prefixes) != 1:
            count = "no tensor" if not prefixes else f"{len(prefixes)} tensors"
            raise ModelError(
                f"{str(folder)!r} has {count} {marker!r}, by which the encoder is found; it is no checkpoint of the "
                "architecture that its config.json names"
            )
        self._prefix = prefixes[0]
        # A cache may hold links: files must lie under the folder that ONNX Runtime is told, and it follows links.
        files = {tensor.file for tensor in found.values()}
        self._real = {file: os.path.realpath(file) for file in files}
        self._root = os.path.commonpath([os.path.dirname(file) for file in self._real.values()])

    @property
    def settings(self) -> dict[str, str]:
        """Entries of a session's configuration that say where the files are."""
        return {_FOLDER: self._root}

    def has(self, name: str) -> bool:
        return self._lookup(name) is not None

    def rows(self, name: str, columns: int) -> int:
        """Rows of a table with so many columns. Raises ModelError where it has others."""
        shape = self._get(name).shape
        if len(shape) != 2 or shape[1] != columns:
            raise self._misshapen(name, shape, f"[any, {columns}]")
        return shape[0]

    def value(self, nodes: Nodes, name: str, *shape: int) -> Value:
        """The tensor in the graph, in the type it is stored in. Raises ModelError: missing, another shape or type."""
        tensor = self._get(name)
        if tensor.shape != shape:
            raise self._misshapen(name, tensor.shape, str(list(shape)))
        location = os.path.relpath(self._real[tensor.file], self._root)
        return nodes.external(name, self.kind(name), shape, location, tensor.offset, tensor.length)

    def kind(self, name: str) -> int:
        """The element type ONNX has for a tensor's. Raises ModelError for integers and 8-bit floats."""
        dtype = self._get(name).dtype
        if dtype not in _KINDS:
            raise ModelError(
                f"tensor {name!r} of {str(self._folder)!r} is stored as {dtype}; encoders are served from "
                f"{', '.join(_KINDS)}"
            )
        return _KINDS[dtype]

    def read(self, name: str, *shape: int) -> NDArray[np.float32]:
        """A tensor's numbers, for those that are not used as they are. Raises ModelError."""
        tensor = self._get(name)
        if tensor.shape != shape:
            raise self._misshapen(name, tensor.shape, str(list(shape)))
        self.kind(name)
        return numbers(tensor)

    def _lookup(self, name: str) -> Tensor | None:
        old = next((name.removesuffix(new) + old for new, old in _OLD_NAMES.items() if name.endswith(new)), name)
        for candidate in (self._prefix + name, name, self._prefix + old):
            if candidate in self._tensors:
                return self._tensors[candidate]
        return None

    def _get(self, name: str) -> Tensor:
        tensor = self._lookup(name)
        if tensor is None:
            raise ModelError(
                f"{str(self._folder)!r} has no tensor {self._prefix + name!r}, which its config.json calls for; "
                "the files do not belong together or are not whole"
            )
        return tensor

    def _misshapen(self, name: str, shape: tuple[int, ...], wanted: str) -> ModelError:
        return ModelError(
            f"tensor {name!r} of {str(self._folder)!r} has the shape {list(shape)}; its config.json calls for {wanted}"
        )


def open_checkpoint(folder: Path, marker: str, *, quantize: bool) -> Checkpoint:
    """The safetensors checkpoint in a folder. Raises ModelError."""
    found = tensors(folder)
    if not found:
        raise ModelError(f"{str(folder)!r} has no safetensors weights")
    return Checkpoint(folder, found, marker, quantize=quantize)
