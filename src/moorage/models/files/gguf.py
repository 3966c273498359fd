"""Reading the header of a GGUF file (versions 2 and 3, little endian): its values, and how long the file must be.

The format: github.com/ggml-org/ggml, docs/gguf.md. No weights are read and nothing is allocated on the word of a
length in the file, so a hostile header costs no more than its bytes.
"""

import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from moorage.models.files.gguf_types import tensor_bytes

MAGIC = b"GGUF"

_MAX_HEADER_BYTES = 256 * 1024 * 1024
_MAX_KEYS = 1 << 16
_MAX_TENSORS = 1 << 18
_MAX_STRINGS = 1 << 22
"""Elements of all string arrays together; the largest vocabularies and merge lists stay below a million."""
_MAX_KEPT = 4096
"""Longest array of numbers that is kept; of longer ones only the length is."""
_MAX_KEPT_STRINGS = 256
_MAX_DIMENSIONS = 4
_ROPE = "rope_f"
"""How the names of tensors begin that bend positions: `rope_freqs.weight`, `rope_factors_long.weight`."""

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")
_HEAD = struct.Struct("<4sIQQ")
_TENSOR_TAIL = struct.Struct("<IQ")


@dataclass(frozen=True)
class Length:
    """An array that was skipped."""

    count: int


Value = int | float | bool | str | tuple[int | float | bool, ...] | tuple[str, ...] | Length


@dataclass(frozen=True)
class Header:
    version: int
    values: Mapping[str, Value]
    tensors: int
    parameters: int
    elements_by_type: Mapping[int, int]
    """Number of a tensor type → weights stored in it."""
    bent: bool
    """Whether a tensor bends the angles of rotary positions."""
    needed_bytes: int
    """Where the last tensor ends: the least size of a whole file."""


def read_header(file: IO[bytes], size_bytes: int) -> Header:
    """Raises Broken, OSError."""
    cursor = _Cursor(file, size_bytes)
    magic, version, tensors, keys = cursor.unpack(_HEAD)
    if magic != MAGIC:
        raise Broken("is not a GGUF file")
    if version not in (2, 3):
        raise Broken(_version_problem(version))
    if keys > _MAX_KEYS or tensors > _MAX_TENSORS:
        raise Broken(f"is broken: its header announces {keys} keys and {tensors} tensors")
    values: dict[str, Value] = {}
    for _ in range(keys):
        key = cursor.text()
        values[key] = cursor.value(cursor.unpack(_U32)[0])
    alignment = values.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 0 < alignment <= 1 << 20:
        raise Broken(f"is broken: its tensors are aligned to {alignment!r}")
    table = _Tensors()
    for _ in range(tensors):
        table.read(cursor)
    data = -(-cursor.at // alignment) * alignment
    end = data + table.end if tensors else cursor.at
    return Header(version, values, tensors, table.elements, table.by_type, table.bent, end)


class Broken(Exception):
    """What is wrong with the file, in words that follow its name."""


@dataclass
class _Tensors:
    elements: int = 0
    end: int = 0
    by_type: Counter[int] = field(default_factory=Counter[int])
    bent: bool = False

    def read(self, cursor: "_Cursor") -> None:
        self.bent = cursor.text().startswith(_ROPE) or self.bent
        (dimensions,) = cursor.unpack(_U32)
        if dimensions > _MAX_DIMENSIONS:
            raise Broken(f"is broken: a tensor has {dimensions} dimensions")
        count = 1
        for _ in range(dimensions):
            count *= cursor.unpack(_U64)[0]
        kind, offset = cursor.unpack(_TENSOR_TAIL)
        self.elements += count
        self.by_type[kind] += count
        self.end = max(self.end, offset + (tensor_bytes(kind, count) or 0))


class _Cursor:
    """A position in the header, over as much of the file as was needed so far."""

    def __init__(self, file: IO[bytes], size_bytes: int) -> None:
        self.at = 0
        self._file = file
        self._size_bytes = size_bytes
        self._data = bytearray()
        self._strings = 0

    def unpack(self, layout: struct.Struct) -> tuple[Any, ...]:
        self._need(self.at + layout.size)
        values = layout.unpack_from(self._data, self.at)
        self.at += layout.size
        return values

    def text(self) -> str:
        (length,) = self.unpack(_U64)
        start = self.at
        self._need(start + length)
        self.at = start + length
        return self._data[start : self.at].decode("utf-8", errors="replace")

    def value(self, kind: int) -> Value:
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            (of,) = self.unpack(_U32)
            (count,) = self.unpack(_U64)
            return self._array(of, count)
        return self.unpack(struct.Struct(f"<{_scalar(kind)}"))[0]

    def _array(self, of: int, count: int) -> Value:
        if of == _STRING and count <= _MAX_KEPT_STRINGS:
            return tuple(self.text() for _ in range(count))
        if of == _STRING:
            self._skip_strings(count)
            return Length(count)
        code = _scalar(of)
        end = self.at + count * struct.calcsize(f"<{code}")
        self._need(end)
        if count > _MAX_KEPT:
            self.at = end
            return Length(count)
        return self.unpack(struct.Struct(f"<{count}{code}"))

    def _skip_strings(self, count: int) -> None:
        """A vocabulary has a hundred thousand strings, so this loop is the cost of reading a header (55 ns each)."""
        self._strings += count
        if self._strings > _MAX_STRINGS:
            raise Broken(f"is broken: its header announces {self._strings} strings")
        at, length_at = self.at, _U64.unpack_from
        data = self._data
        for _ in range(count):
            try:
                at += 8 + length_at(data, at)[0]
            except (struct.error, OverflowError):
                self._need(at + 8)
                at += 8 + length_at(data, at)[0]
        self._need(at)
        self.at = at

    def _need(self, end: int) -> None:
        """Have the file's bytes up to `end` at hand."""
        have = len(self._data)
        if end <= have:
            return
        if end > self._size_bytes:
            raise Broken(
                f"is truncated or broken: has {self._size_bytes} bytes, and its header alone goes beyond; "
                "get the file again"
            )
        if end > _MAX_HEADER_BYTES:
            raise Broken(f"is broken: its header is larger than {_MAX_HEADER_BYTES} bytes")
        want = min(max(end, 2 * have, 2 * 1024 * 1024), self._size_bytes)
        self._file.seek(have)
        while len(self._data) < want:
            block = self._file.read(want - len(self._data))
            if not block:
                raise Broken("became shorter while it was read; get the file again")
            self._data += block


def _scalar(kind: int) -> str:
    if kind not in _SCALARS:
        raise Broken(f"is broken: its header has a value of type {kind}")
    return _SCALARS[kind]


def _version_problem(version: int) -> str:
    if version & 0xFFFF == 0:
        return "is a big-endian GGUF file; little-endian ones are supported"
    return f"is a GGUF file of version {version}; versions 2 and 3 are supported"
