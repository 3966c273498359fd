"""Reading GGUF headers: the real file, every way of cutting it, and hostile ones."""

import contextlib
import random
import struct
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from moorage.errors import ModelError
from moorage.models.files import facts

_Q = struct.Struct("<Q")


def text(value: str) -> bytes:
    return _Q.pack(len(value.encode())) + value.encode()


def entry(key: str, value: object) -> bytes:
    match value:
        case bool():
            return text(key) + struct.pack("<I?", 7, value)
        case int():
            return text(key) + struct.pack("<II", 4, value)
        case str():
            return text(key) + struct.pack("<I", 8) + text(value)
        case bytes():
            return text(key) + value
        case _:
            raise TypeError(value)


def strings(*values: str) -> bytes:
    return struct.pack("<IIQ", 9, 8, len(values)) + b"".join(map(text, values))


def numbers(*values: int) -> bytes:
    return struct.pack(f"<IIQ{len(values)}I", 9, 4, len(values), *values)


def tensor(name: str, shape: Sequence[int], kind: int, offset: int) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


LLAMA: Mapping[str, object] = {
    "general.architecture": "llama",
    "general.name": "tiny",
    "general.file_type": 1,
    "llama.context_length": 128,
    "llama.block_count": 2,
    "llama.embedding_length": 64,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
    "tokenizer.ggml.tokens": strings("a", "b", "ccc"),
}


def gguf(
    values: Mapping[str, object] = LLAMA,
    tensors: Sequence[bytes] = (tensor("w", (64, 3), 1, 0),),
    data: int = 64 * 3 * 2,
    version: int = 3,
) -> bytes:
    header = struct.pack("<4sIQQ", b"GGUF", version, len(tensors), len(values))
    header += b"".join(entry(key, value) for key, value in values.items()) + b"".join(tensors)
    return header + bytes(-len(header) % 32) + bytes(data)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


def test_the_default_model(chat_weights: Path) -> None:
    found = facts(chat_weights)
    assert (found.format, found.task, found.architecture) == ("gguf", "generate", "llama")
    assert (found.layers, found.embedding_length, found.context_length) == (30, 576, 8192)
    assert (found.heads, found.kv_heads, found.key_length, found.value_length) == (9, 3, 64, 64)
    assert (found.vocabulary, found.quantization) == (49152, "Q4_1")
    assert found.parameters == 134_515_008
    assert found.size_bytes == chat_weights.stat().st_size
    assert found.path == str(chat_weights)
    assert found.chat_template is not None
    assert "<|im_start|>" in found.chat_template


def test_the_default_model_cut_anywhere(chat_weights: Path, file: Path) -> None:
    with chat_weights.open("rb") as whole:
        beginning = whole.read(3 * 1024 * 1024)
    size = chat_weights.stat().st_size
    cuts = [4, 5, 8, 23, 24, 25, 100, 1000, 65536, 1_000_000, 2_000_000, len(beginning)]
    for cut in cuts:
        file.write_bytes(beginning[:cut])
        with pytest.raises(ModelError, match="is truncated"):
            facts(file)
    with file.open("r+b") as sparse:
        sparse.truncate(size - 1)
    with pytest.raises(ModelError, match=f"is truncated: has {size - 1} bytes, needs {size}"):
        facts(file)
    with file.open("r+b") as sparse:
        sparse.truncate(size)
    assert facts(file).layers == 30


@pytest.mark.parametrize("version", [2, 3])
def test_a_small_file(file: Path, version: int) -> None:
    file.write_bytes(gguf(version=version))
    found = facts(file)
    assert (found.name, found.quantization, found.parameters, found.vocabulary) == ("tiny", "F16", 192, 3)
    assert (found.key_length, found.kv_heads, found.chat_template) == (16, 2, None)


def test_heads_that_differ_by_layer(file: Path) -> None:
    file.write_bytes(gguf({**LLAMA, "llama.attention.head_count_kv": numbers(0, 2, 4, 1)}))
    assert facts(file).kv_heads == 4


def test_what_the_file_does_not_say_is_unknown(file: Path) -> None:
    file.write_bytes(gguf({"general.architecture": "new", "general.file_type": 999, "new.block_count": "two"}))
    found = facts(file)
    assert (found.architecture, found.quantization, found.task) == ("new", "F16", "generate")
    assert (found.layers, found.heads, found.key_length, found.vocabulary, found.context_length) == (None,) * 5


@pytest.mark.parametrize(
    ("values", "task"),
    [
        ({"general.architecture": "bert"}, "embed"),
        ({"general.architecture": "nomic-bert"}, "embed"),
        ({"general.architecture": "jina-bert-v2", "jina-bert-v2.pooling_type": 0}, "embed"),
        ({"general.architecture": "qwen3", "qwen3.pooling_type": 3}, "embed"),
        ({"general.architecture": "qwen3", "qwen3.pooling_type": 0}, "generate"),
        ({"general.architecture": "qwen3"}, "generate"),
    ],
)
def test_the_task(file: Path, values: dict[str, object], task: str) -> None:
    file.write_bytes(gguf(values))
    assert facts(file).task == task


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "it is empty"),
        (bytes(5000), "all zeros"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"  <html lang=en>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "a git-lfs pointer; run git lfs pull"),
        (b"PK\x03\x04rest", "a zip archive"),
        (_Q.pack(90) + b'{"__metadata__":{}}', "a safetensors file"),
        (b'{"error": "no such file"}', "JSON text"),
        (b"\x1f\x8b\x08", "a gzip archive"),
        (b"ggjt\x03", "older than GGUF"),
        (b"hello", "of an unknown kind, beginning with b'hello'"),
        (b"GGUF", "is truncated"),
        (gguf(version=1), "version 1; versions 2 and 3"),
        (b"GGUF" + struct.pack(">IQQ", 3, 1, 1), "big-endian"),
        (gguf({**LLAMA, "general.type": "adapter"}), "of type 'adapter'"),
        (gguf({"general.architecture": "clip"}), "of type 'mmproj'"),
        (gguf({**LLAMA, "split.no": 1, "split.count": 3}), "part 2 of 3"),
        (gguf({"general.name": "x"}), "names no architecture"),
        (gguf(tensors=(), data=0), "without weights"),
        (gguf(data=0), "needs"),
    ],
)
def test_what_is_no_model(file: Path, content: bytes, says: str) -> None:
    file.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        facts(file)
    assert says in str(caught.value)
    assert repr(str(file)) in str(caught.value)


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is an empty folder"):
        facts(tmp_path)
    with pytest.raises(ModelError, match="there is no file"):
        facts(tmp_path / "missing.gguf")
    with pytest.raises(ModelError, match="not a regular file"):
        facts(Path("/dev/zero"))


BIG = 2**64 - 1


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<4sIQQ", b"GGUF", 3, BIG, 1),
        struct.pack("<4sIQQ", b"GGUF", 3, 1, BIG),
        struct.pack("<4sIQQ", b"GGUF", 3, 1, 60000),
        struct.pack("<4sIQQQ", b"GGUF", 3, 1, 1, BIG),
        gguf({"k": struct.pack("<IIQ", 9, 8, BIG)}),
        gguf({"k": struct.pack("<IIQ", 9, 8, 4_000_000)}),
        gguf({"k": struct.pack("<IIQQ", 9, 8, 3, BIG)}),
        gguf({"k": struct.pack("<IIQ", 9, 4, BIG)}),
        gguf({"k": struct.pack("<IIQ", 9, 9, 1)}),
        gguf({"k": struct.pack("<IIQ", 9, 77, 1)}),
        gguf({"k": struct.pack("<I", 77)}),
        gguf({"k": struct.pack("<IQ", 8, 2**63)}),
        gguf({**LLAMA, "general.alignment": 0}),
        gguf({**LLAMA, "general.alignment": 2**31}),
        gguf({**LLAMA, "general.alignment": "wide"}),
        gguf(tensors=(tensor("w", (BIG, BIG, BIG, BIG), 0, 0),)),
        gguf(tensors=(tensor("w", (1,) * 5, 0, 0),)),
        gguf(tensors=(text("w") + struct.pack("<I", 2**32 - 1),)),
        gguf(tensors=(tensor("w", (1,), 0, BIG),)),
        gguf(tensors=(_Q.pack(BIG),)),
    ],
)
def test_hostile_headers_are_refused_at_once(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    started = time.perf_counter()
    with pytest.raises(ModelError):
        facts(file)
    assert time.perf_counter() - started < 2


def test_a_hostile_header_on_a_huge_file_reads_little(file: Path) -> None:
    for content in (
        gguf({"k": struct.pack("<IIQQ", 9, 8, 2, 2**39)}),
        gguf({"k": struct.pack("<IQ", 8, 2**39)}),
        gguf({"k": struct.pack("<IIQ", 9, 8, 2**36)}),
    ):
        file.write_bytes(content)
        with file.open("r+b") as sparse:
            sparse.truncate(2**40)
        with pytest.raises(ModelError, match="is broken"):
            facts(file)


def test_unknown_tensor_types_are_passed_over(file: Path) -> None:
    file.write_bytes(gguf(tensors=(tensor("w", (64,), 250, 0), tensor("v", (32,), 2, 32)), data=32 + 18))
    assert facts(file).parameters == 96


@pytest.mark.parametrize("seed", range(4))
def test_damaged_headers_never_do_worse_than_a_model_error(file: Path, seed: int) -> None:
    dice = random.Random(seed)
    whole = gguf({**LLAMA, "tokenizer.chat_template": "{{ messages }}", "llama.attention.head_count_kv": numbers(1, 2)})
    header = len(whole) - 64 * 3 * 2
    started = time.perf_counter()
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(header)
            content[at] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
        del content[dice.randrange(4, len(content) * 2) :]
        file.write_bytes(content)
        with contextlib.suppress(ModelError):
            facts(file)
    assert time.perf_counter() - started < 20
