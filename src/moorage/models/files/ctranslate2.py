"""Reading the header of each variable in CTranslate2's model.bin: its kind of model, sizes, number format.

The format: github.com/OpenNMT/CTranslate2, src/models/model.cc (binary versions 4 to 6). Data is seeked over.
"""

import math
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from moorage.errors import ModelError
from moorage.models.files.opening import check_no_pointer, exactly, opened

MODEL_FILE = "model.bin"

_DTYPES = {0: ("float32", 4), 1: ("int8", 1), 2: ("int16", 2), 3: ("int32", 4), 4: ("float16", 2), 5: ("bfloat16", 2)}
_VERSIONS = range(4, 7)
_MAX_VARIABLES = 1 << 16
_MAX_DIMENSIONS = 8
_MAX_SCALAR_BYTES = 8
_U8, _U16, _U32 = struct.Struct("<B"), struct.Struct("<H"), struct.Struct("<I")
_COUNTS, _DATA = struct.Struct("<II"), struct.Struct("<BI")


@dataclass(frozen=True, slots=True)
class Variable:
    dtype: str
    shape: tuple[int, ...]
    scalar: int | None = None
    """The value of a whole number without shape, as heads and flags are kept."""

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, kw_only=True)
class Weights:
    path: Path
    size_bytes: int
    spec: str
    """`WhisperSpec`, `TransformerSpec`."""
    variables: Mapping[str, Variable]

    def shape(self, name: str) -> tuple[int, ...]:
        """Empty where there is no such variable."""
        return self.variables[name].shape if name in self.variables else ()

    @property
    def parameters(self) -> int:
        return sum(item.elements for name, item in self.variables.items() if item.shape and not name.endswith("_scale"))

    @property
    def compute_type(self) -> str | None:
        """The number format in CTranslate2's own words: `float16`, `int8_float16`."""
        counts: Counter[str] = Counter()
        for item in self.variables.values():
            counts[item.dtype] += item.elements if item.shape else 0
        main = max(counts, key=lambda dtype: counts[dtype], default=None)
        beside = {dtype for dtype in ("float32", "float16", "bfloat16") if counts[dtype]}
        return f"int8_{beside.pop()}" if main == "int8" and len(beside) == 1 else main


def read(path: Path) -> Weights:
    """Raises ModelError: unreadable, truncated, broken, no such file."""
    with opened(path) as (file, size_bytes):
        check_no_pointer(path, exactly(file, min(size_bytes, 64)))
        file.seek(0)
        try:
            spec, variables = _Cursor(file, size_bytes).read()
        except _Broken as error:
            raise ModelError(f"{str(path)!r} {error}") from error
    return Weights(path=path, size_bytes=size_bytes, spec=spec, variables=variables)


class _Broken(Exception):
    """What is wrong with the file, in words that follow its name."""


class _Cursor:
    def __init__(self, file: IO[bytes], size_bytes: int) -> None:
        self._file = file
        self._size_bytes = size_bytes
        self._at = 0

    def read(self) -> tuple[str, dict[str, Variable]]:
        (version,) = self._unpack(_U32)
        if version not in _VERSIONS:
            raise _Broken(
                f"is no model of CTranslate2, or of a version of its format ({version}) other than "
                f"{_VERSIONS.start} to {_VERSIONS.stop - 1}; convert the model again with a current CTranslate2"
            )
        spec = self._text()
        _, count = self._unpack(_COUNTS)
        if not spec.isidentifier() or count > _MAX_VARIABLES:
            raise _Broken(f"is no model of CTranslate2, or broken: it announces {count} variables of {spec[:50]!r}")
        return spec, dict(self._variable() for _ in range(count))

    def _variable(self) -> tuple[str, Variable]:
        name = self._text()
        (rank,) = self._unpack(_U8)
        if rank > _MAX_DIMENSIONS:
            raise _Broken(f"is broken: variable {name[:100]!r} has {rank} dimensions; get the file again")
        shape = self._unpack(struct.Struct(f"<{rank}I"))
        kind, size = self._unpack(_DATA)
        if kind not in _DTYPES or math.prod(shape) * _DTYPES[kind][1] != size:
            raise _Broken(f"is broken: variable {name[:100]!r} has {size} bytes for {list(shape)}; get the file again")
        dtype, width = _DTYPES[kind]
        scalar = None
        if not shape and dtype.startswith("int") and width <= _MAX_SCALAR_BYTES:
            scalar = int.from_bytes(self._read(size), "little", signed=True)
        else:
            self._skip(size)
        return name, Variable(dtype, shape, scalar)

    def _text(self) -> str:
        """A text with its length and a zero at its end."""
        (length,) = self._unpack(_U16)
        return self._read(length).rstrip(b"\0").decode("utf-8", errors="replace")

    def _unpack(self, layout: struct.Struct) -> tuple[Any, ...]:
        return layout.unpack(self._read(layout.size))

    def _read(self, length: int) -> bytes:
        self._check(length)
        self._at += length
        return exactly(self._file, length)

    def _skip(self, length: int) -> None:
        self._check(length)
        self._at += length
        self._file.seek(self._at)

    def _check(self, length: int) -> None:
        if self._at + length > self._size_bytes:
            raise _Broken(f"is truncated: it has {self._size_bytes} bytes and goes on; get the file again")
