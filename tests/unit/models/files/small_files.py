"""Small whole models in each format, written as the formats' own tools lay them out."""

import json
import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

WIDTHS = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "U8": 1, "I8": 1}

BERT: Mapping[str, Any] = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 16,
    "vocab_size": 10,
}


def put(folder: Path, files: Mapping[str, object]) -> Path:
    """Files by name: bytes and text as they are, anything else as JSON."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def bert(folder: Path, config: Mapping[str, Any] = BERT, files: Mapping[str, object] = MappingProxyType({})) -> Path:
    """A Hugging Face folder with a config.json and one matrix."""
    return put(folder, {"config.json": dict(config), "model.safetensors": safetensors(), **files})


def safetensors(
    tensors: Mapping[str, tuple[str, Sequence[int]]] | None = None, metadata: Mapping[str, str] | None = None
) -> bytes:
    """Tensors of zeros, one behind the other."""
    at = 0
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    for name, (dtype, shape) in (tensors or {"embeddings.word_embeddings.weight": ("F32", (10, 8))}).items():
        size = math.prod(shape) * WIDTHS[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    return raw_safetensors(header, bytes(at))


def raw_safetensors(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def varint(value: int) -> bytes:
    found = bytearray()
    value &= (1 << 64) - 1
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*found, value))


def field(number: int, value: int | str | bytes) -> bytes:
    """One field of a protocol buffer: a whole number, or bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def fields(*entries: tuple[int, int | str | bytes]) -> bytes:
    return b"".join(field(number, value) for number, value in entries)


FLOAT, UINT8, INT8, INT64 = 1, 2, 3, 7


def port(name: str, kind: int, *shape: int | str) -> bytes:
    """A ValueInfoProto."""
    dims = b"".join(field(1, field(1 if isinstance(size, int) else 2, size)) for size in shape)
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, dims)))


def initializer(name: str, kind: int, shape: Sequence[int], data: bytes | None = None, *, packed: bool = True) -> bytes:
    """A TensorProto with raw data, of zeros where none is given."""
    width = {FLOAT: 4, UINT8: 1, INT8: 1, INT64: 8}[kind]
    dims = field(1, b"".join(map(varint, shape))) if packed else b"".join(field(1, size) for size in shape)
    return dims + fields((2, kind), (8, name), (9, bytes(math.prod(shape) * width) if data is None else data))


def external(name: str, kind: int, shape: Sequence[int], **where: str) -> bytes:
    """A TensorProto whose data is in another file."""
    entries = b"".join(field(13, fields((1, key), (2, value))) for key, value in where.items())
    return b"".join(field(1, size) for size in shape) + fields((2, kind), (8, name)) + entries + field(14, 1)


def node(op: str, domain: str = "", *attributes: bytes) -> bytes:
    """A NodeProto."""
    told = field(7, domain) if domain else b""
    return fields((1, "x"), (2, "y"), (4, op)) + told + b"".join(field(5, attribute) for attribute in attributes)


IDS = port("input_ids", INT64, "batch", "sequence")
HIDDEN = port("last_hidden_state", FLOAT, "batch", "sequence", 8)
WORDS = initializer("embeddings.word_embeddings.weight", FLOAT, (10, 8))


def onnx(
    *,
    inputs: Sequence[bytes] = (IDS,),
    outputs: Sequence[bytes] = (HIDDEN,),
    initializers: Sequence[bytes] = (WORDS,),
    nodes: Sequence[bytes] = (),
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    graph = b"".join(
        field(number, item)
        for number, items in (
            (1, (node("Gather"), node("MatMul"), *nodes)),
            (2, ("main_graph",)),
            (5, initializers),
            (11, inputs),
            (12, outputs),
        )
        for item in items
    )
    properties = b"".join(field(14, fields((1, key), (2, value))) for key, value in (metadata or {}).items())
    opsets = field(8, field(2, 17)) + field(8, fields((1, "com.microsoft"), (2, 1)))
    return fields((1, 8), (2, "pytorch"), (3, "2.11"), (7, graph)) + opsets + properties


def ctranslate2_text(value: str) -> bytes:
    return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"


def variable(name: str, kind: int, shape: Sequence[int], data: bytes | None = None) -> bytes:
    width = {0: 4, 1: 1, 2: 2, 3: 4, 4: 2, 5: 2}[kind]
    content = bytes(math.prod(shape) * width) if data is None else data
    head = ctranslate2_text(name) + struct.pack(f"<B{len(shape)}I", len(shape), *shape)
    return head + struct.pack("<BI", kind, len(content)) + content


def ctranslate2(
    vocabulary: int = 51865, *, kind: int = 4, spec: str = "WhisperSpec", version: int = 6, others: Sequence[bytes] = ()
) -> bytes:
    """A Whisper of two layers and four numbers a vector; `kind` 1 is int8, 4 float16."""
    variables = (
        variable("decoder/embeddings/weight", kind, (vocabulary, 4)),
        variable("decoder/position_encodings/encodings", 4, (448, 4)),
        variable("encoder/layer_0/ffn/linear_0/weight", kind, (16, 4)),
        variable("encoder/layer_1/ffn/linear_0/weight", kind, (16, 4)),
        variable("encoder/num_heads", 2, (), struct.pack("<h", 6)),
        *others,
    )
    head = struct.pack("<I", version) + ctranslate2_text(spec) + struct.pack("<II", 3, len(variables))
    return head + b"".join(variables) + struct.pack("<I", 0)


LANGUAGES = ("en", "zh", "de", "haw")


def whisper_vocabulary(*languages: str) -> list[str]:
    marks = [f"<|{language}|>" for language in languages or LANGUAGES]
    return ["a", "<|endoftext|>", "<|startoftranscript|>", *marks, "<|translate|>", "<|transcribe|>", "<|0.00|>"]


IR = """<?xml version="1.0"?>
<net name="main_graph" version="11">
    <layers>
        <layer id="0" name="input_ids" type="Parameter" version="opset1">
            <data shape="?,?" element_type="i64" />
            <output>
                <port id="0" precision="I64" names="input_ids"><dim>-1</dim><dim>-1</dim></port>
            </output>
        </layer>
        <layer id="1" name="self.embeddings.word_embeddings.weight" type="Const" version="opset1">
            <data element_type="{kind}" shape="50, 8" offset="0" size="{size}" />
            <output>
                <port id="0" precision="FP32"><dim>50</dim><dim>8</dim></port>
            </output>
        </layer>
        <layer id="2" name="axis" type="Const" version="opset1">
            <data element_type="i64" shape="" offset="{size}" size="8" />
            <output>
                <port id="0" precision="I64" />
            </output>
        </layer>
        <layer id="3" name="Gather_6" type="Gather" version="opset8">
            <data batch_dims="0" />
            <input>
                <port id="0" precision="FP32"><dim>50</dim><dim>8</dim></port>
                <port id="1" precision="I64"><dim>-1</dim><dim>-1</dim></port>
                <port id="2" precision="I64" />
            </input>
            <output>
                <port id="3" precision="FP32" names="last_hidden_state"><dim>-1</dim><dim>-1</dim><dim>8</dim></port>
            </output>
        </layer>
        <layer id="4" name="Result_7" type="Result" version="opset1">
            <input>
                <port id="0" precision="FP32"><dim>-1</dim><dim>-1</dim><dim>8</dim></port>
            </input>
        </layer>
    </layers>
    <edges>
        <edge from-layer="0" from-port="0" to-layer="3" to-port="1" />
        <edge from-layer="1" from-port="0" to-layer="3" to-port="0" />
        <edge from-layer="2" from-port="0" to-layer="3" to-port="2" />
        <edge from-layer="3" from-port="3" to-layer="4" to-port="0" />
    </edges>
    <rt_info />
</net>
"""
"""As openvino.save_model writes it."""


def openvino(kind: str = "f32") -> dict[str, object]:
    """The two files of an IR with one matrix of 50 × 8."""
    size = 400 * {"f32": 4, "f16": 2, "i8": 1}[kind]
    return {"openvino_model.xml": IR.format(kind=kind, size=size), "openvino_model.bin": bytes(size + 8)}
