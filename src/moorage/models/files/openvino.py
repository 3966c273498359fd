"""Reading OpenVINO IR: the graph's XML as a stream of elements, its weights file by its size only."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from moorage.errors import ModelError
from moorage.models.files.onnx import Port
from moorage.models.files.opening import check_no_pointer, exactly, listing, opened

_MODELS = ("openvino_model", "openvino_language_model", "openvino_encoder_model", "openvino_decoder_model")
"""The main graph of a folder, by what exporters call it; the second one is a vision-language model's."""
HELPERS = frozenset({"openvino_tokenizer", "openvino_detokenizer"})
_PREFIX, SUFFIX = "openvino_", ".xml"

_MAX_XML_BYTES = 256 * 1024 * 1024
_MAX_DEPTH = 64
_BLOCK_BYTES = 256 * 1024
_MAX_NUMBER_CHARS = 18
_MAX_DIMENSIONS = 64


@dataclass(frozen=True, kw_only=True)
class Graph:
    """One IR: an XML file and the weights beside it."""

    path: Path
    size_bytes: int
    """Of the weights."""
    version: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    elements: Mapping[str, int]
    """Element type of stored constants (`f16`, `i8`, `u4`) → elements."""
    constants: Mapping[str, tuple[int, ...]]
    """Name → shape."""


def model_files(folder: Path, there: tuple[str, ...]) -> tuple[Path, ...]:
    """The graphs with the model's weights, the main one first; none where the folder has no IR.

    Others of the same model, such as `openvino_model_qint8_quantized`, count only where it alone is there. Raises
    ModelError where there are several of these.
    """
    stems = [name.removesuffix(SUFFIX) for name in there if name.startswith(_PREFIX) and name.endswith(SUFFIX)]
    main = [stem for stem in _MODELS if stem in stems]
    variants = [stem for stem in stems if is_variant(stem)]
    if not main and len(variants) > 1:
        names = ", ".join(stem + SUFFIX for stem in variants)
        raise ModelError(f"{str(folder)!r} has several graphs of OpenVINO: {names}; keep the one to be served")
    main = main or variants
    rest = [stem for stem in stems if stem not in main and stem not in variants and stem not in HELPERS]
    return tuple(folder / (stem + SUFFIX) for stem in main + rest) if main else ()


def is_variant(stem: str) -> bool:
    """Whether a graph is another form of the main one."""
    return stem.startswith(tuple(f"{name}_" for name in _MODELS))


def find(base: Path) -> tuple[Path, ...]:
    """The same of a model's folder, or of `openvino` in it, where sentence-transformers puts them."""
    for folder in (base, base / "openvino"):
        if os.path.isdir(folder) and (found := model_files(folder, listing(folder))):
            return found
    return ()


def weights_file(graph: Path) -> Path:
    return graph.with_suffix(".bin")


def read(path: Path) -> Graph:
    """Raises ModelError: unreadable, no IR, broken, weights that are missing or truncated."""
    reading = _Reading()
    with opened(path) as (file, size_bytes):
        if size_bytes > _MAX_XML_BYTES:
            raise ModelError(f"{str(path)!r} is not what its name says: it has {size_bytes} bytes")
        check_no_pointer(path, exactly(file, min(size_bytes, 64)))
        file.seek(0)
        try:
            while block := file.read(_BLOCK_BYTES):
                reading.parser.Parse(block, False)
            reading.parser.Parse(b"", True)
        except (expat.ExpatError, _Broken) as error:
            raise ModelError(f"{str(path)!r} is no OpenVINO IR, or broken: {error}; get the file again") from error
    if not reading.version:
        raise ModelError(f"{str(path)!r} is no OpenVINO IR: its first element is not <net>")
    return Graph(
        path=path,
        size_bytes=_checked_size(path, reading.end),
        version=reading.version,
        inputs=tuple(reading.inputs),
        outputs=tuple(reading.produced[place] for place in reading.results if place in reading.produced),
        elements=reading.elements,
        constants=reading.constants,
    )


def _checked_size(graph: Path, needed: int) -> int:
    weights = weights_file(graph)
    if not os.path.lexists(weights):
        raise ModelError(f"{str(graph)!r} has no weights beside it: {weights.name!r} is missing; fetch the model again")
    with opened(weights) as (file, size_bytes):
        check_no_pointer(weights, exactly(file, min(size_bytes, 64)))
    if size_bytes < needed:
        raise ModelError(f"{str(weights)!r} is truncated: has {size_bytes} bytes, needs {needed}; get the file again")
    return size_bytes


class _Broken(Exception):
    pass


@dataclass
class _Reading:
    """What was met so far: layers with their output ports, and which ports the results take."""

    version: str = ""
    end: int = 0
    inputs: list[Port] = field(default_factory=list[Port])
    results: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    produced: dict[tuple[str, str], Port] = field(default_factory=dict[tuple[str, str], Port])
    elements: Counter[str] = field(default_factory=Counter[str])
    constants: dict[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])

    def __post_init__(self) -> None:
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._finish
        self.parser.StartDoctypeDeclHandler = self._doctype
        self._path: list[str] = []
        self._layer: dict[str, str] = {}
        self._port: dict[str, str] | None = None
        self._dims: list[int | str] = []
        self._text: list[str] = []
        self._result_layers: set[str] = set()

    def _doctype(self, *_: object) -> None:
        raise _Broken("it declares a document type, which no IR has")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._path.append(name)
        depth = len(self._path)
        if depth > _MAX_DEPTH:
            raise _Broken("it is nested beyond reason")
        if depth == 1:
            self._root(name, attributes)
        elif self._path[1] == "layers":
            self._in_layers(name, depth, attributes)
        elif depth == 3 and name == "edge" and attributes.get("to-layer") in self._result_layers:
            self.results.append((attributes.get("from-layer", ""), attributes.get("from-port", "")))

    def _root(self, name: str, attributes: dict[str, str]) -> None:
        if name != "net" or not attributes.get("version"):
            raise _Broken(f"its first element is <{name[:50]}>, not <net> with a version")
        self.version = attributes["version"]

    def _in_layers(self, name: str, depth: int, attributes: dict[str, str]) -> None:
        if depth == 3:
            self._layer = attributes
            if attributes.get("type") == "Result":
                self._result_layers.add(attributes.get("id", ""))
        elif depth == 4 and name == "data":
            self._data(attributes)
        elif depth == 5 and name == "port" and self._path[3] == "output":
            self._port, self._dims = attributes, []
        elif depth == 6 and name == "dim" and self._port is not None:
            self._text = []
            self.parser.CharacterDataHandler = self._characters

    def _characters(self, text: str) -> None:
        if len(self._text) < _MAX_NUMBER_CHARS:  # a block's end may split a number
            self._text.append(text[: _MAX_NUMBER_CHARS + 1])

    def _finish(self, name: str) -> None:
        depth = len(self._path)
        self._path.pop()
        if depth == 6 and self._port is not None and name == "dim":
            self.parser.CharacterDataHandler = None
            self._dims.append(_dimension("".join(self._text).strip()))
        elif depth == 5 and self._port is not None:
            self._note_port(self._port, tuple(self._dims[:_MAX_DIMENSIONS]))
            self._port = None

    def _note_port(self, attributes: dict[str, str], shape: tuple[int | str, ...]) -> None:
        name = attributes.get("names", "").split(",")[0] or self._layer.get("name", "")
        port = Port(name, attributes.get("precision", ""), shape)
        if self._layer.get("type") == "Parameter":
            self.inputs.append(port)
        if "names" in attributes:
            self.produced[self._layer.get("id", ""), attributes.get("id", "")] = port

    def _data(self, attributes: dict[str, str]) -> None:
        if self._layer.get("type") != "Const" or "offset" not in attributes:
            return
        shape = tuple(_number(part) for part in attributes.get("shape", "").split(",") if part.strip())
        elements = 1
        for length in shape[:_MAX_DIMENSIONS]:
            elements *= length
        size = _number(attributes.get("size", ""))
        self.end = max(self.end, _number(attributes["offset"]) + size)
        # One-bit elements are the smallest there are.
        if elements > size * 8:
            raise _Broken(f"constant {self._layer.get('name', '')[:100]!r} has {size} bytes for {elements} elements")
        self.elements[attributes.get("element_type", "")] += elements
        self.constants[self._layer.get("name", "")] = shape


def _number(text: str) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_NUMBER_CHARS):
        raise _Broken(f"{text[:50]!r} is no number")
    return int(text)


def _dimension(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_NUMBER_CHARS else ""
