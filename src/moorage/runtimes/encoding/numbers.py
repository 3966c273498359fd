"""Vectors and scores as clients get them: shortened, activated, packed; never a NaN."""

import base64
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from moorage.errors import BadRequest, InternalError
from moorage.runtimes.encoding.port import Activation, Encoder, Item, Kind, Numbers, Profile
from moorage.wire.api.embed_v2 import Embeddings, EmbeddingType

SIZES_SHOWN = 16
TINY = 1e-12
"""A vector shorter than this has no direction, and is left as it is."""


async def numbers(encoder: Encoder, kind: Kind, items: Sequence[Item]) -> list[Numbers]:
    """What the model gives for each item. Raises InternalError where that is not finite."""
    results = await encoder.run(kind, items)
    for index, result in enumerate(results):
        if not np.isfinite(result).all():
            raise InternalError(
                f"the model gave no numbers (NaN or infinite) for text {index + 1} of {len(items)}: its weights are "
                "damaged or overflow; run moorage models verify, or take another file of it",
                code="not_a_number",
            )
    return results


async def vectors(encoder: Encoder, items: Sequence[Item], dimensions: int | None = None) -> list[Numbers]:
    """Embeddings as clients get them: shortened to `dimensions`, normalised where the model's are."""
    profile = encoder.profile
    return [finished(vector, dimensions, profile) for vector in await numbers(encoder, "embed", items)]


def finished(vector: Numbers, dimensions: int | None, profile: Profile) -> Numbers:
    """An embedding, or one for each token, shortened and normalised."""
    short = vector[..., :dimensions]
    return unit(short) if profile.normalized else short


def check_dimensions(wanted: int | None, profile: Profile, param: str = "dimensions") -> None:
    """Raises BadRequest for a size this model's embeddings cannot be cut to."""
    if wanted is None or wanted == profile.width or wanted in profile.shorter:
        return
    words = "cannot be shortened"
    if len(profile.shorter) > SIZES_SHOWN:
        words = f"can be shortened to {min(profile.shorter)} to {max(profile.shorter)}"
    elif profile.shorter:
        words = f"can be shortened to {', '.join(map(str, sorted(profile.shorter)))}"
    raise BadRequest(
        f"{param}: this model's embeddings have {profile.width} dimensions and {words}; not {wanted}", param=param
    )


def unit(vectors: Numbers) -> Numbers:
    """Each vector divided by its length."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.maximum(lengths, TINY)).astype(np.float32, copy=False)


def activated(scores: Numbers, activation: Activation) -> NDArray[np.float64]:
    """Label scores [..., labels] as probabilities, in double precision so that none is lost at the ends."""
    exact = scores.astype(np.float64)
    match activation:
        case "sigmoid":
            return np.asarray(1 / (1 + np.exp(-np.clip(exact, -700, 700))))
        case "softmax":
            raised = np.exp(exact - exact.max(axis=-1, keepdims=True))
            return np.asarray(raised / raised.sum(axis=-1, keepdims=True))
        case "identity":
            return np.asarray(exact)


def packed(vector: NDArray[np.floating]) -> str:
    """base64 of 32-bit floats, little endian, rows one after the other."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def by_type(vectors: Sequence[Numbers], kinds: Iterable[EmbeddingType]) -> Embeddings:
    """The same vectors in every kind that was asked for (wire.api.embed_v2 tells what each is)."""
    found = Embeddings()
    for kind in set(kinds):
        match kind:
            case "float":
                found.floats = [vector.tolist() for vector in vectors]
            case "base64":
                found.base64 = [packed(vector) for vector in vectors]
            case "int8":
                found.int8 = [_bytes(vector).tolist() for vector in vectors]
            case "uint8":
                found.uint8 = [(_bytes(vector) + 128).tolist() for vector in vectors]
            case "binary":
                found.binary = [(_signs(vector) - 128).tolist() for vector in vectors]
            case "ubinary":
                found.ubinary = [_signs(vector).tolist() for vector in vectors]
    return found


def _bytes(vector: Numbers) -> NDArray[np.int32]:
    return np.clip(np.rint(unit(vector) * 127), -128, 127).astype(np.int32)


def _signs(vector: Numbers) -> NDArray[np.int32]:
    """Eight signs a byte, the first the highest; missing ones at the end count as negative."""
    return np.packbits(vector > 0).astype(np.int32)
