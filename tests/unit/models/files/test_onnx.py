"""ONNX files as they are skimmed: small ones made here, the real one, hostile ones."""

import time
from pathlib import Path

import pytest

from moorage.errors import ModelError
from moorage.models.files import onnx
from moorage.models.files.onnx import External, Initializer, Port
from tests.unit.models.files import small_files
from tests.unit.models.files.small_files import (
    FLOAT,
    HIDDEN,
    IDS,
    INT8,
    INT64,
    UINT8,
    external,
    field,
    fields,
    initializer,
    node,
    port,
    varint,
)

HUGE = (1 << 63) - 1


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


def graph(file: Path, content: bytes) -> onnx.Graph:
    file.write_bytes(content)
    return onnx.read(file)


def test_a_small_model(file: Path) -> None:
    found = graph(file, small_files.onnx(metadata={"author": "nobody", "empty": ""}))
    assert (found.ir_version, found.producer, found.name) == (8, "pytorch 2.11", "main_graph")
    assert found.opsets == {"": 17, "com.microsoft": 1}
    assert found.inputs == (Port("input_ids", "INT64", ("batch", "sequence")),)
    assert found.outputs == (Port("last_hidden_state", "FLOAT", ("batch", "sequence", 8)),)
    assert found.initializers == (Initializer("embeddings.word_embeddings.weight", "FLOAT", (10, 8), 320),)
    assert found.ops == {"Gather": 1, "MatMul": 1}
    assert found.metadata == {"author": "nobody"}
    assert (found.size_bytes, found.data_files, found.block_bits) == (file.stat().st_size, (), None)


def test_inputs_with_an_initializer_are_weights(file: Path) -> None:
    found = graph(file, small_files.onnx(inputs=(IDS, port("embeddings.word_embeddings.weight", FLOAT, 10, 8))))
    assert [item.name for item in found.inputs] == ["input_ids"]


def test_ports_of_every_kind(file: Path) -> None:
    no_shape = field(1, "scalar") + field(2, field(1, field(1, FLOAT)))
    sequence = field(1, "list") + field(2, field(4, b""))
    nameless = field(1, "x") + field(2, field(1, field(1, 99) + field(2, field(1, b"") + field(1, field(1, -1)))))
    found = graph(file, small_files.onnx(outputs=(no_shape, sequence, nameless, port("flat", FLOAT))))
    assert found.outputs == (
        Port("scalar", "FLOAT", None),
        Port("list", "", None),
        Port("x", "TYPE_99", ("", "")),
        Port("flat", "FLOAT", ()),
    )


def test_data_in_every_field(file: Path) -> None:
    def tensor(name: str, kind: int, *data: bytes) -> bytes:
        return field(1, 2) + fields((2, kind), (8, name)) + b"".join(data)

    unpacked = b"".join(varint(4 << 3 | 5) + bytes(4) for _ in range(2))
    found = graph(
        file,
        small_files.onnx(
            initializers=(
                tensor("floats", FLOAT, field(4, bytes(8))),
                tensor("unpacked", FLOAT, unpacked),
                tensor("halves", 10, field(5, b"\x01\x01")),
                tensor("wholes", INT64, field(7, 3), field(7, 4)),
                tensor("texts", 8, field(6, "a"), field(6, "b")),
                tensor("doubles", 11, field(10, bytes(16))),
                tensor("raw", INT8, field(9, bytes(2))),
                tensor("four bits", 22, field(9, bytes(1))),
                initializer("unpacked dims", UINT8, (3, 4), packed=False),
            )
        ),
    )
    assert [(item.name, item.dtype, item.elements) for item in found.initializers] == [
        ("floats", "FLOAT", 2),
        ("unpacked", "FLOAT", 2),
        ("halves", "FLOAT16", 2),
        ("wholes", "INT64", 2),
        ("texts", "STRING", 2),
        ("doubles", "DOUBLE", 2),
        ("raw", "INT8", 2),
        ("four bits", "INT4", 2),
        ("unpacked dims", "UINT8", 12),
    ]


def test_constants_subgraphs_and_packed_blocks(file: Path) -> None:
    inner = field(1, node("Relu")) + field(5, initializer("inner", FLOAT, (2,)))
    found = graph(
        file,
        small_files.onnx(
            nodes=(
                node("Constant", "", fields((1, "value"), (5, initializer("constant", FLOAT, (3,))))),
                node("If", "", fields((1, "then_branch"), (6, inner)), fields((1, "else_branch"), (6, inner))),
                node("MatMulNBits", "com.microsoft", fields((1, "bits"), (3, 4)), fields((1, "N"), (3, 384))),
            )
        ),
    )
    assert [item.name for item in found.initializers] == [
        "constant",
        "inner",
        "inner",
        "embeddings.word_embeddings.weight",
    ]
    assert found.ops["Relu"] == 2
    assert found.ops["com.microsoft::MatMulNBits"] == 1
    assert found.block_bits == 4


def test_external_data(file: Path) -> None:
    (file.parent / "model.onnx_data").write_bytes(bytes(400))
    item = external("w", FLOAT, (10, 8), location="model.onnx_data", offset="80", length="320")
    found = graph(file, small_files.onnx(initializers=(item,)))
    assert found.initializers[0].external == External("model.onnx_data", 80, 320)
    assert found.data_files == (file.parent / "model.onnx_data",)
    assert found.size_bytes == file.stat().st_size + 400


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ({"location": "gone"}, "there is no file"),
        ({"location": "data", "length": "401"}, "is truncated: has 400 bytes, needs 401"),
        ({"location": "data", "offset": "300", "length": "101"}, "is truncated: has 400 bytes, needs 401"),
        ({"location": "../data"}, "which is not beside it"),
        ({"location": "/etc/passwd"}, "which is not beside it"),
        ({"location": "a\\..\\..\\b"}, "which is not beside it"),
        ({"offset": "1"}, "does not say where its data is"),
        ({"location": "data", "offset": "-1"}, "does not say where its data is"),
        ({"location": "data", "length": "²"}, "does not say where its data is"),
        ({"location": "pointer"}, "git lfs pull"),
        ({"location": "."}, "is a folder"),
    ],
)
def test_external_data_that_is_not_there(file: Path, where: dict[str, str], says: str) -> None:
    (file.parent / "data").write_bytes(bytes(400))
    (file.parent / "pointer").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ModelError) as caught:
        graph(file, small_files.onnx(initializers=(external("w", FLOAT, (10, 8), **where),)))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is no ONNX model"),
        (bytes(100), "no field"),
        (b"<!doctype html><html><body>404</body></html>", "is "),
        (field(1, 8), "is no ONNX model"),
        (fields((1, 8), (7, b"")), "names no operator set"),
        (b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "is truncated or broken"),
        (b"\xff" * 20, "no number of a protocol buffer"),
        (b"\x08", "is truncated"),
        (b"\x0b", "no field of a protocol buffer"),
        (b"\x3a\x02\x3a\x05", "is truncated or broken"),
        (b"\x09\x00", "is truncated or broken"),
        (small_files.onnx(initializers=(initializer("w", FLOAT, (10, 8), bytes(10)),)), "has 10 bytes of data"),
        (small_files.onnx(initializers=(initializer("w", FLOAT, (HUGE, HUGE), b""),)), "impossible shape"),
        (small_files.onnx(initializers=(initializer("w", FLOAT, (1,) * 100, b""),)), "more than 64 dimensions"),
        (small_files.onnx(initializers=(initializer("w" * 5000, FLOAT, (1,)),)), "has a name of 5000 bytes"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
    ],
)
def test_what_is_broken_is_said(file: Path, content: bytes, says: str) -> None:
    with pytest.raises(ModelError) as caught:
        graph(file, content)
    assert says in str(caught.value)
    assert repr(str(file)) in str(caught.value)


def test_graphs_nested_without_end(file: Path) -> None:
    inner = field(1, node("Relu"))
    for _ in range(40):
        inner = field(1, node("If", "", fields((1, "then_branch"), (6, inner))))
    with pytest.raises(ModelError, match="nested beyond reason"):
        graph(file, fields((1, 8), (7, inner)) + field(8, field(2, 17)))


def test_more_parts_than_any_model_are_given_up_on(file: Path) -> None:
    started = time.perf_counter()
    with pytest.raises(ModelError, match="more parts than any model"):
        graph(file, field(1, 8) * 3_000_000)
    assert time.perf_counter() - started < 20


def test_huge_values_are_left_out(file: Path) -> None:
    found = graph(file, small_files.onnx(metadata={"big": "x" * 100_000, "small": "y"}))
    assert found.metadata == {"small": "y"}


def test_the_data_of_a_huge_tensor_is_not_read(file: Path) -> None:
    """A sparse file of 64 GB: what is skipped costs neither time nor memory."""
    size = 1 << 36
    tensor = fields((2, UINT8), (8, "w")) + field(1, size)
    beginning = field(1, 8)
    data = varint(9 << 3 | 2) + varint(size)
    inside = varint(5 << 3 | 2) + varint(len(tensor) + len(data) + size)
    ports = field(11, IDS) + field(12, HIDDEN)
    head = beginning + varint(7 << 3 | 2) + varint(len(ports) + len(inside) + len(tensor) + len(data) + size)
    with file.open("wb") as sparse:
        sparse.write(head + ports + inside + tensor + data)
        sparse.seek(size, 1)
        sparse.write(field(8, field(2, 17)))
    started = time.perf_counter()
    found = onnx.read(file)
    assert time.perf_counter() - started < 1
    assert (found.initializers[0].elements, found.opsets) == (size, {"": 17})


def test_every_cut_of_a_file_is_noticed(file: Path) -> None:
    whole = small_files.onnx()
    for length in range(len(whole) - len(field(8, field(2, 17)) + field(8, fields((1, "com.microsoft"), (2, 1))))):
        with pytest.raises(ModelError):
            graph(file, whole[:length])


def test_which_file_of_a_folder(tmp_path: Path) -> None:
    assert onnx.model_file(tmp_path) is None
    small_files.put(tmp_path, {"onnx/other.onnx": b"x"})
    assert onnx.model_file(tmp_path) == tmp_path / "onnx" / "other.onnx"
    small_files.put(tmp_path, {"onnx/model_quantized.onnx": b"x"})
    assert onnx.model_file(tmp_path) == tmp_path / "onnx" / "model_quantized.onnx"
    small_files.put(tmp_path, {"onnx/model.onnx": b"x"})
    assert onnx.model_file(tmp_path) == tmp_path / "onnx" / "model.onnx"
    small_files.put(tmp_path, {"model.onnx": b"x"})
    assert onnx.model_file(tmp_path) == tmp_path / "model.onnx"


def test_several_files_of_a_folder(tmp_path: Path) -> None:
    small_files.put(tmp_path, {"a.onnx": b"x", "b.onnx": b"x"})
    with pytest.raises(ModelError, match=r"several ONNX files: a\.onnx, b\.onnx; name one of them"):
        onnx.model_file(tmp_path)


def test_signed_numbers(file: Path) -> None:
    custom = field(8, fields((1, "ai.onnx"), (2, -1)))
    assert graph(file, fields((1, 8), (7, b"")) + custom).opsets == {"": -1}
