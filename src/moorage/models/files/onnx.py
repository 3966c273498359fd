"""Reading what an ONNX file says of itself (onnx.proto): who made it, what goes in and comes out, which weights and
operators it has. Tensor data is seeked over, in the file and in the files it keeps beside it.
"""

import math
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from moorage.errors import ModelError
from moorage.models.files.opening import check_no_pointer, exactly, listing, opened
from moorage.models.files.protobuf import Malformed, Skimmer, signed

FILES = ("model.onnx", "onnx/model.onnx", "model_quantized.onnx", "onnx/model_quantized.onnx")
"""Where exporters put the graph in a folder, in the order they are looked for."""

ELEMENT_TYPES: dict[int, tuple[str, int]] = {
    1: ("FLOAT", 32),
    2: ("UINT8", 8),
    3: ("INT8", 8),
    4: ("UINT16", 16),
    5: ("INT16", 16),
    6: ("INT32", 32),
    7: ("INT64", 64),
    8: ("STRING", 0),
    9: ("BOOL", 8),
    10: ("FLOAT16", 16),
    11: ("DOUBLE", 64),
    12: ("UINT32", 32),
    13: ("UINT64", 64),
    14: ("COMPLEX64", 64),
    15: ("COMPLEX128", 128),
    16: ("BFLOAT16", 16),
    17: ("FLOAT8E4M3FN", 8),
    18: ("FLOAT8E4M3FNUZ", 8),
    19: ("FLOAT8E5M2", 8),
    20: ("FLOAT8E5M2FNUZ", 8),
    21: ("UINT4", 4),
    22: ("INT4", 4),
    23: ("FLOAT4E2M1", 4),
    24: ("FLOAT8E8M0", 8),
    25: ("UINT2", 2),
    26: ("INT2", 2),
}
"""TensorProto.DataType → name, bits an element (0 where they differ)."""

_DATA = {4: 4, 5: 1, 6: 0, 7: 1, 9: 0, 10: 8, 11: 1}
"""Fields of TensorProto that hold data → the least bytes of one element that is not packed with others."""
_MAX_NAME_BYTES = 4096
_MAX_VALUE_BYTES = 64 * 1024
_MAX_KEPT_BYTES = 4 * 1024 * 1024
_MAX_DIMENSIONS = 64
_MAX_DEPTH = 16
_MAX_DATA = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a graph."""

    name: str
    dtype: str
    """`INT64`, `FLOAT`; empty for what is no tensor."""
    shape: tuple[int | str, ...] | None
    """A number, or the name of a dimension that varies (empty for a nameless one); None for unknown rank."""


@dataclass(frozen=True, slots=True)
class External:
    """Where a tensor's data lies outside the file."""

    location: str
    offset: int
    length: int | None


@dataclass(frozen=True, slots=True)
class Initializer:
    """A tensor stored in the graph."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    stored_bytes: int
    """What its data takes in the file, 0 for external data."""
    external: External | None = None

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, kw_only=True)
class Graph:
    """What one ONNX file says."""

    path: Path
    size_bytes: int
    """With its data files."""
    ir_version: int
    producer: str
    name: str
    opsets: Mapping[str, int]
    """Domain → version; the standard domain is the empty one."""
    inputs: tuple[Port, ...]
    """What a caller feeds: without initializers, which old files list too."""
    outputs: tuple[Port, ...]
    initializers: tuple[Initializer, ...]
    """Of subgraphs and constants too."""
    ops: Mapping[str, int]
    """Operator → how often, those of other domains as `com.microsoft::MatMulNBits`."""
    block_bits: int | None
    """Bits a weight of operators that hold packed blocks (MatMulNBits)."""
    metadata: Mapping[str, str]
    """metadata_props; values beyond 64 KiB are left out."""
    data_files: tuple[Path, ...]
    """Files beside it with external data, all there and long enough."""


def model_file(folder: Path) -> Path | None:
    """The graph a folder is served from; None where it has none. Raises ModelError where several could be meant."""
    for name in FILES:
        if os.path.lexists(folder / name):
            return folder / name
    found = [folder / name for name in listing(folder) if name.endswith(".onnx")]
    if not found and os.path.isdir(folder / "onnx"):
        found = [folder / "onnx" / name for name in listing(folder / "onnx") if name.endswith(".onnx")]
    if len(found) > 1:
        names = ", ".join(str(path.relative_to(folder)) for path in found)
        raise ModelError(f"{str(folder)!r} has several ONNX files: {names}; name one of them")
    return found[0] if found else None


def read(path: Path) -> Graph:
    """Raises ModelError: unreadable, truncated, broken, no ONNX model, external data that is not there."""
    with opened(path) as (file, size_bytes):
        check_no_pointer(path, exactly(file, min(size_bytes, 64)))
        reading = _Reading(Skimmer(file, size_bytes))
        try:
            reading.model(size_bytes)
        except Malformed as error:
            raise ModelError(f"{str(path)!r} {error}; get the file again") from error
    if not reading.graphs or not reading.opsets:
        raise ModelError(f"{str(path)!r} is no ONNX model, or a broken one: it has no graph or names no operator set")
    stored = {item.name for item in reading.initializers}
    data_files = _data_files(path, reading.initializers)
    return Graph(
        path=path,
        size_bytes=size_bytes + sum(data_files.values()),
        ir_version=reading.ir_version,
        producer=reading.producer,
        name=reading.name,
        opsets=reading.opsets,
        inputs=tuple(port for port in reading.inputs if port.name not in stored),
        outputs=tuple(reading.outputs),
        initializers=tuple(reading.initializers),
        ops=reading.ops,
        block_bits=reading.block_bits,
        metadata=reading.metadata,
        data_files=tuple(data_files),
    )


@dataclass
class _Reading:
    """What was met so far. Field numbers are those of onnx.proto."""

    skim: Skimmer
    ir_version: int = 0
    producer: str = ""
    name: str = ""
    graphs: int = 0
    block_bits: int | None = None
    kept_bytes: int = 0
    opsets: dict[str, int] = field(default_factory=dict[str, int])
    inputs: list[Port] = field(default_factory=list[Port])
    outputs: list[Port] = field(default_factory=list[Port])
    initializers: list[Initializer] = field(default_factory=list[Initializer])
    ops: Counter[str] = field(default_factory=Counter[str])
    metadata: dict[str, str] = field(default_factory=dict[str, str])

    def model(self, length: int) -> None:
        producer = ["", ""]
        for number, kind, value in self.skim.fields(length):
            match number, kind:
                case 1, "number":
                    self.ir_version = value
                case ((2 | 3), "bytes"):
                    producer[number - 2] = self._name(value)
                case 7, "bytes":
                    self.graphs += 1
                    self._graph(value, 0)
                case 8, "bytes":
                    self._opset(value)
                case 14, "bytes":
                    self._property(value)
                case _:
                    pass
        self.producer = " ".join(filter(None, producer))

    def _graph(self, length: int, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise Malformed("is broken: its graphs are nested beyond reason")
        for number, kind, value in self.skim.fields(length):
            if kind != "bytes":
                continue
            if number == 1:
                self._node(value, depth)
            elif number == 5:
                self.initializers.append(self._tensor(value))
            elif number == 15:
                self._sparse(value)
            elif depth == 0 and number == 2:
                self.name = self._name(value)
            elif depth == 0 and number in (11, 12):
                (self.inputs if number == 11 else self.outputs).append(self._port(value))

    def _node(self, length: int, depth: int) -> None:
        op = domain = ""
        bits: int | None = None
        for number, kind, value in self.skim.fields(length):
            if kind != "bytes":
                continue
            if number == 4:
                op = self._name(value)
            elif number == 7:
                domain = self._name(value)
            elif number == 5:
                bits = self._attribute(value, depth) or bits
        self.ops[f"{domain}::{op}" if domain else op] += 1
        if op == "MatMulNBits":
            self.block_bits = max(bits or 4, self.block_bits or 0)

    def _attribute(self, length: int, depth: int) -> int | None:
        """Tensors and subgraphs in an attribute are noted; the value of one named `bits` is returned."""
        name, whole = "", None
        for number, kind, value in self.skim.fields(length):
            if number == 1 and kind == "bytes":
                name = self._name(value)
            elif number == 3 and kind == "number":
                whole = signed(value)
            elif number in (5, 10) and kind == "bytes":
                self.initializers.append(self._tensor(value))
            elif number in (6, 11) and kind == "bytes":
                self._graph(value, depth + 1)
        return whole if name == "bits" and whole is not None and 0 < whole <= 8 else None

    def _sparse(self, length: int) -> None:
        for number, kind, value in self.skim.fields(length):
            if number in (1, 2) and kind == "bytes":
                self.initializers.append(self._tensor(value))

    def _tensor(self, length: int) -> Initializer:
        name, element_type, stored_bytes = "", 0, 0
        shape: list[int] = []
        external: dict[str, str] = {}
        for number, kind, value in self.skim.fields(length):
            if number == 1:
                shape += self.skim.packed(value, _MAX_DIMENSIONS) if kind == "bytes" else [value]
            elif number == 2 and kind == "number":
                element_type = value
            elif number == 8 and kind == "bytes":
                name = self._name(value)
            elif number == 13 and kind == "bytes":
                external.update([self._pair(value)])
            elif number in _DATA:
                stored_bytes += value if kind == "bytes" else _DATA[number]
        if len(shape) > _MAX_DIMENSIONS or (shape and max(shape) > _MAX_DATA) or math.prod(shape) > _MAX_DATA:
            raise Malformed(f"is broken: tensor {name[:100]!r} has an impossible shape")
        dtype, bits = ELEMENT_TYPES.get(element_type, (f"TYPE_{element_type}", 0))
        outside = _external(name, external) if external else None
        if outside is None and stored_bytes * 8 < math.prod(shape) * min(bits, 8):
            raise Malformed(f"is broken: tensor {name[:100]!r} of {dtype} {shape} has {stored_bytes} bytes of data")
        return Initializer(name, dtype, tuple(shape), stored_bytes, outside)

    def _port(self, length: int) -> Port:
        name, dtype, shape = "", "", None
        for number, kind, value in self.skim.fields(length):
            if number == 1 and kind == "bytes":
                name = self._name(value)
            elif number == 2 and kind == "bytes":
                for inner, inner_kind, size in self.skim.fields(value):
                    if inner == 1 and inner_kind == "bytes":
                        dtype, shape = self._tensor_type(size)
        return Port(name, dtype, shape)

    def _tensor_type(self, length: int) -> tuple[str, tuple[int | str, ...] | None]:
        dtype, shape = "", None
        for number, kind, value in self.skim.fields(length):
            if number == 1 and kind == "number":
                dtype = ELEMENT_TYPES.get(value, (f"TYPE_{value}", 0))[0]
            elif number == 2 and kind == "bytes":
                shape = tuple(
                    self._dimension(size)
                    for inner, inner_kind, size in self.skim.fields(value)
                    if inner == 1 and inner_kind == "bytes"
                )
        return dtype, shape

    def _dimension(self, length: int) -> int | str:
        found: int | str = ""
        for number, kind, value in self.skim.fields(length):
            if number == 1 and kind == "number":
                found = signed(value) if signed(value) >= 0 else ""
            elif number == 2 and kind == "bytes":
                found = self._name(value)
        return found

    def _opset(self, length: int) -> None:
        domain, version = "", 0
        for number, kind, value in self.skim.fields(length):
            if number == 1 and kind == "bytes":
                domain = self._name(value)
            elif number == 2 and kind == "number":
                version = signed(value)
        self.opsets["" if domain == "ai.onnx" else domain] = version

    def _property(self, length: int) -> None:
        key, value = self._pair(length)
        if key and value:
            self.metadata[key] = value

    def _pair(self, length: int) -> tuple[str, str]:
        """A StringStringEntryProto; the value is empty where it is too long to keep."""
        key = content = ""
        for number, kind, value in self.skim.fields(length):
            if number == 1 and kind == "bytes":
                key = self._name(value)
            elif number == 2 and kind == "bytes" and value <= _MAX_VALUE_BYTES:
                self.kept_bytes += value
                if self.kept_bytes <= _MAX_KEPT_BYTES:
                    content = self.skim.text(value, _MAX_VALUE_BYTES)
        return key, content

    def _name(self, length: int) -> str:
        return self.skim.text(length, _MAX_NAME_BYTES)


def _external(name: str, entries: Mapping[str, str]) -> External:
    offset, length = entries.get("offset", "0"), entries.get("length")
    numbers = [text for text in (offset, length) if text is not None]
    if not entries.get("location") or not all(text.isascii() and text.isdigit() and len(text) < 19 for text in numbers):
        raise Malformed(f"is broken: tensor {name[:100]!r} does not say where its data is")
    return External(entries["location"], int(offset), None if length is None else int(length))


def _data_files(path: Path, initializers: list[Initializer]) -> dict[Path, int]:
    """The files of external data, and their sizes.

    Raises ModelError for one that is missing, too short or out of the folder.
    """
    needed: dict[str, int] = {}
    for item in initializers:
        if item.external is not None:
            end = item.external.offset + (item.external.length or 0)
            needed[item.external.location] = max(end, needed.get(item.external.location, 0))
    found: dict[Path, int] = {}
    for location, end in needed.items():
        parts = location.replace("\\", "/").split("/")
        # Only below the model's folder: a graph must not lead to other files of the machine.
        if "\0" in location or location.startswith(("/", "\\")) or ".." in parts:
            raise ModelError(f"{str(path)!r} keeps weights in {location[:100]!r}, which is not beside it")
        data = path.parent / location
        with opened(data) as (file, size_bytes):
            check_no_pointer(data, exactly(file, min(size_bytes, 64)))
        if size_bytes < end:
            raise ModelError(f"{str(data)!r} is truncated: has {size_bytes} bytes, needs {end}; get the file again")
        found[data] = size_bytes
    return found
