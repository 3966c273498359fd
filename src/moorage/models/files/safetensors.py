"""Reading the headers of safetensors files: where each tensor lies, over all shards of a folder. No weights are read.

The format: github.com/huggingface/safetensors, README. As there, tensors must fill the file without gap or overlap.
"""

import math
import os
import re
import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from moorage.errors import ModelError
from moorage.models.files.opening import check_no_pointer, exactly, listing, opened, whole

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"

_MAX_HEADER_BYTES = 100_000_000
"""The format's own bound."""
_MAX_INDEX_BYTES = 100_000_000
_MAX_COLONS = 1 << 22
"""Each tensor's entry has four: a bound on entries that is told before any is made."""
_MAX_ENTRY_BYTES = 4096
_MAX_DIMENSIONS = 32
_LENGTH = struct.Struct("<Q")
_METADATA = "__metadata__"
_SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.safetensors")

_BITS = {
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U16": 16,
    "I16": 16,
    "F16": 16,
    "BF16": 16,
    "U32": 32,
    "I32": 32,
    "F32": 32,
    "U64": 64,
    "I64": 64,
    "F64": 64,
    "C64": 64,
}
"""dtype → bits an element. Tensors of other dtypes are listed, their lengths unchecked."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where a tensor lies: little endian, row major, `length` bytes at `offset` from the beginning of `file`."""

    dtype: str
    """As the format names it: `F32`, `F16`, `BF16`, `I64`."""
    shape: tuple[int, ...]
    offset: int
    length: int
    file: Path

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


class _Entry(msgspec.Struct):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


def tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor by name: of one file, or of all the shards of a folder.

    Raises ModelError: a file that is missing, unreadable, truncated or broken, or a tensor that is not where the
    folder's index says.
    """
    if not os.path.isdir(path):
        return read_header(path)
    return _indexed(path / INDEX) if INDEX in listing(path) else _united(files(path))


def files(folder: Path) -> tuple[Path, ...]:
    """The weight files of a folder, all of them there, in order; none where it has no safetensors.

    Raises ModelError for half a set.
    """
    there = listing(folder)
    if INDEX in there:
        return _complete(folder, sorted(set(_weight_map(folder / INDEX).values())), INDEX)
    if SINGLE in there:
        return (folder / SINGLE,)
    shards = [match for match in map(_SHARD.fullmatch, there) if match]
    if not shards:
        # Mistral's consolidated.safetensors and others of one file under a name of their own.
        alone = [name for name in there if name.endswith(".safetensors") and not name.startswith("adapter_")]
        return (folder / alone[0],) if len(alone) == 1 else ()
    stem, _, count = shards[0].groups()
    names = [f"{stem}-{number:05}-of-{count}.safetensors" for number in range(1, int(count) + 1)]
    return _complete(folder, names, shards[0].group())


def read_header(path: Path) -> dict[str, Tensor]:
    """Every tensor of one file, by name. Raises ModelError."""
    with opened(path) as (file, size_bytes):
        beginning = exactly(file, min(size_bytes, 64))
        check_no_pointer(path, beginning)
        if len(beginning) < _LENGTH.size:
            raise _broken(path, f"is truncated: it has {size_bytes} bytes")
        (length,) = _LENGTH.unpack_from(beginning)
        if length > _MAX_HEADER_BYTES:
            raise _broken(path, f"is no safetensors file, or broken: its header would have {length} bytes")
        if length > size_bytes - _LENGTH.size:
            raise _broken(path, f"is truncated: it has {size_bytes} bytes, its header alone {length + _LENGTH.size}")
        file.seek(_LENGTH.size)
        header = exactly(file, length)
    found = _read_entries(path, header)
    _check_layout(path, found, _LENGTH.size + length, size_bytes)
    return found


def dtypes(found: Iterable[Tensor]) -> Counter[str]:
    """dtype → elements stored in it."""
    counts: Counter[str] = Counter()
    for tensor in found:
        counts[tensor.dtype] += tensor.elements
    return counts


def _read_entries(path: Path, header: bytes) -> dict[str, Tensor]:
    if header.count(b":") > _MAX_COLONS:
        raise _broken(path, "is broken: its header has more entries than any model")
    start = _LENGTH.size + len(header)
    found: dict[str, Tensor] = {}
    try:
        entries = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
        for name, raw in entries.items():
            if name == _METADATA:
                continue
            if len(memoryview(raw)) > _MAX_ENTRY_BYTES:
                raise _broken(path, f"is broken: the entry of tensor {name[:100]!r} is too long")
            entry = msgspec.json.decode(raw, type=_Entry)
            first, end = entry.data_offsets
            found[name] = Tensor(entry.dtype, entry.shape, start + first, end - first, path)
            _check_extent(path, name, found[name], start)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _broken(path, f"is broken: its header cannot be read ({error})") from error
    return found


def _check_extent(path: Path, name: str, tensor: Tensor, start: int) -> None:
    """That a tensor's bytes are as many as its shape needs."""
    shape = tensor.shape
    possible = len(shape) <= _MAX_DIMENSIONS and min(shape, default=0) >= 0 and tensor.elements < 1 << 63
    if not possible or tensor.offset < start or tensor.length < 0:
        raise _broken(path, f"is broken: tensor {name[:100]!r} has an impossible shape or place")
    bits = _BITS.get(tensor.dtype)
    if bits is not None and -(-tensor.elements * bits // 8) != tensor.length:
        raise _broken(
            path,
            f"is broken: tensor {name[:100]!r} of {tensor.dtype} {list(shape)} has {tensor.length} bytes",
        )


def _check_layout(path: Path, found: Mapping[str, Tensor], start: int, size_bytes: int) -> None:
    """That the tensors lie one behind the other, from the header to the file's end."""
    at = start
    for name, tensor in sorted(found.items(), key=lambda item: (item[1].offset, item[1].length)):
        if tensor.offset != at:
            how = "overlaps the one before it" if tensor.offset < at else "leaves a gap before it"
            raise _broken(path, f"is broken: tensor {name[:100]!r} {how}")
        at += tensor.length
    if at > size_bytes:
        raise _broken(path, f"is truncated: it has {size_bytes} bytes, needs {at}")
    if at < size_bytes:
        raise _broken(path, f"is broken: its last {size_bytes - at} bytes belong to no tensor")


def _indexed(index: Path) -> dict[str, Tensor]:
    where = _weight_map(index)
    shards = {file.name: read_header(file) for file in _complete(index.parent, sorted(set(where.values())), INDEX)}
    found: dict[str, Tensor] = {}
    for name, file_name in where.items():
        tensor = shards[file_name].get(name)
        if tensor is None:
            raise ModelError(
                f"{str(index)!r} says that tensor {name[:100]!r} is in {file_name!r}, and it is not; "
                "the files do not belong together, get them again"
            )
        found[name] = tensor
    return found


def _united(shards: Iterable[Path]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for file in shards:
        for name, tensor in read_header(file).items():
            if name in found:
                raise ModelError(
                    f"tensor {name[:100]!r} is in {found[name].file.name!r} and in {file.name!r} of "
                    f"{str(file.parent)!r}; the files do not belong together, get them again"
                )
            found[name] = tensor
    return found


def _weight_map(index: Path) -> dict[str, str]:
    content = whole(index, _MAX_INDEX_BYTES)
    if content.count(b":") > _MAX_COLONS:
        raise ModelError(f"{str(index)!r} is broken: it has more entries than any model")
    try:
        found = msgspec.json.decode(content, type=_Index).weight_map
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ModelError(f"{str(index)!r} cannot be read: {error}; get the file again") from error
    for name in set(found.values()):
        # Only files beside it: an index must not lead out of the model's folder.
        if not name.endswith(".safetensors") or "/" in name or "\\" in name or "\0" in name:
            raise ModelError(f"{str(index)!r} names {name[:100]!r}, which is no weight file beside it")
    return found


def _complete(folder: Path, names: Iterable[str], said_by: str) -> tuple[Path, ...]:
    wanted = tuple(folder / name for name in names)
    missing = [path for path in wanted if not os.path.exists(path)]
    if missing:
        shown = ", ".join(path.name for path in missing[:3]) + (", …" if len(missing) > 3 else "")
        raise ModelError(
            f"{str(folder)!r} is not whole: {len(missing)} of its {len(wanted)} weight files are missing "
            f"({shown}; named by {said_by}); fetch the model again"
        )
    return wanted


def _broken(path: Path, problem: str) -> ModelError:
    return ModelError(f"{str(path)!r} {problem}; get the file again")
