"""safetensors headers: where tensors lie, over shards; and every way of lying about it."""

import json
import struct
import time
from pathlib import Path

import pytest

from moorage.errors import ModelError
from moorage.models.files import safetensors
from tests.unit.models.files import small_files
from tests.unit.models.files.small_files import put, raw_safetensors


def entry(dtype: str = "F32", shape: tuple[object, ...] = (2,), *offsets: object) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets or (0, 8)}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is truncated: it has 0 bytes"),
        (b"\x10\0\0", "is truncated: it has 3 bytes"),
        (struct.pack("<Q", 2**63), "its header would have 9223372036854775808 bytes"),
        (struct.pack("<Q", 99_000_000) + b"{}", "is truncated: it has 10 bytes, its header alone 99000008"),
        (b"<!doctype html><html>", "is no safetensors file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (raw_safetensors(b""), "its header cannot be read"),
        (raw_safetensors(b'{"a": '), "its header cannot be read"),
        (raw_safetensors(b"[]"), "its header cannot be read"),
        (raw_safetensors(b"\xff\xfe"), "its header cannot be read"),
        (raw_safetensors(b'{"\xff": {}}'), "its header cannot be read"),
        (raw_safetensors(b"[" * 100_000), "its header cannot be read"),
        (raw_safetensors(b'{"a":' * 100_000), "its header cannot be read"),
        (raw_safetensors({"a": 1}), "its header cannot be read"),
        (raw_safetensors({"a": {"dtype": "F32", "shape": [2]}}), "missing required field"),
        (raw_safetensors({"a": entry("F32", ("2",))}), "Expected `int`, got `str`"),
        (raw_safetensors({"a": entry("F32", (2.5,))}), "Expected `int`, got `float`"),
        (raw_safetensors({"a": entry("F32", (-2,))}, bytes(8)), "impossible shape or place"),
        (raw_safetensors({"a": entry("F32", (2,) * 40)}, bytes(8)), "impossible shape or place"),
        (raw_safetensors({"a": entry("F32", (2**62, 2**62))}, bytes(8)), "impossible shape or place"),
        (raw_safetensors({"a": entry("F32", (2,), 8, 0)}, bytes(8)), "impossible shape or place"),
        (raw_safetensors({"a": entry("F32", (2,), -8, 0)}, bytes(8)), "impossible shape or place"),
        (raw_safetensors({"a": entry("F32", (3,))}, bytes(8)), "tensor 'a' of F32 [3] has 8 bytes"),
        (raw_safetensors({"a": entry("F32", (1,) * 3000)}, bytes(8)), "the entry of tensor 'a' is too long"),
        (raw_safetensors({"a": entry()}, bytes(7)), "is truncated: it has"),
        (raw_safetensors({"a": entry()}, bytes(9)), "its last 1 bytes belong to no tensor"),
        (raw_safetensors({"a": entry(), "b": entry("F32", (2,), 4, 12)}, bytes(12)), "tensor 'b' overlaps"),
        (raw_safetensors({"a": entry(), "b": entry()}, bytes(8)), "overlaps"),
        (raw_safetensors({"a": entry(), "b": entry("F32", (2,), 12, 20)}, bytes(20)), "tensor 'b' leaves a gap"),
        (raw_safetensors({"a": entry("F32", (2,), 4, 12)}, bytes(12)), "tensor 'a' leaves a gap"),
        (raw_safetensors(b"{" + b'"a":1,' * (1 << 22) + b'"b":1}'), "more entries than any model"),
    ],
)
def test_what_is_broken_is_said(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(content)
    started = time.perf_counter()
    with pytest.raises(ModelError) as caught:
        safetensors.tensors(file)
    assert time.perf_counter() - started < 5
    assert says in str(caught.value)
    assert repr(str(file)) in str(caught.value)


def test_where_tensors_lie(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    header = {"__metadata__": {"format": "pt", "dtype": "x", "shape": "y"}, "b": entry("F32", (1, 2), 2, 10)}
    content = raw_safetensors({**header, "a": entry("F16", (), 0, 2), "none": entry("F32", (0, 5), 10, 10)}, bytes(10))
    file.write_bytes(content)
    found = safetensors.tensors(file)
    start = len(content) - 10
    assert found == {
        "a": safetensors.Tensor("F16", (), start, 2, file),
        "b": safetensors.Tensor("F32", (1, 2), start + 2, 8, file),
        "none": safetensors.Tensor("F32", (0, 5), start + 10, 0, file),
    }
    assert safetensors.dtypes(found.values()) == {"F16": 1, "F32": 2}


def test_a_dtype_nobody_knows_yet_is_listed(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(raw_safetensors({"a": entry("F3", (8,), 0, 3)}, bytes(3)))
    assert safetensors.tensors(file)["a"].length == 3


PARTS = {
    "model-00001-of-00002.safetensors": small_files.safetensors({"a": ("F32", (2, 2))}),
    "model-00002-of-00002.safetensors": small_files.safetensors({"b": ("F16", (3,)), "c": ("F16", (1,))}),
}
INDEX = {"metadata": {"total_size": 24}, "weight_map": {"a": min(PARTS), "b": max(PARTS), "c": max(PARTS)}}


@pytest.mark.parametrize("index", [{safetensors.INDEX: INDEX}, {}], ids=["with index", "by their names"])
def test_shards(tmp_path: Path, index: dict[str, object]) -> None:
    put(tmp_path, {**PARTS, **index})
    found = safetensors.tensors(tmp_path)
    assert {name: (item.file.name, item.elements) for name, item in found.items()} == {
        "a": (min(PARTS), 4),
        "b": (max(PARTS), 3),
        "c": (max(PARTS), 1),
    }
    assert [file.name for file in safetensors.files(tmp_path)] == sorted(PARTS)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({safetensors.INDEX: INDEX}, "2 of its 2 weight files are missing"),
        (
            {safetensors.INDEX: INDEX, min(PARTS): PARTS[min(PARTS)]},
            f"1 of its 2 weight files are missing ({max(PARTS)}",
        ),
        ({max(PARTS): PARTS[max(PARTS)]}, f"1 of its 2 weight files are missing ({min(PARTS)}"),
        ({**PARTS, safetensors.INDEX: {"weight_map": {"z": min(PARTS)}}}, "says that tensor 'z' is in"),
        ({min(PARTS): PARTS[min(PARTS)], max(PARTS): PARTS[min(PARTS)]}, "tensor 'a' is in"),
        ({**PARTS, safetensors.INDEX: b"{"}, "cannot be read"),
        ({**PARTS, safetensors.INDEX: b"\xff"}, "cannot be read"),
        ({**PARTS, safetensors.INDEX: {"weight_map": []}}, "cannot be read"),
        ({**PARTS, safetensors.INDEX: {}}, "cannot be read"),
        ({**PARTS, safetensors.INDEX: {"weight_map": {"a": "../a.safetensors"}}}, "no weight file beside it"),
        ({**PARTS, safetensors.INDEX: {"weight_map": {"a": "/etc/passwd"}}}, "no weight file beside it"),
        ({**PARTS, safetensors.INDEX: b"version https://git-lfs.github.com/spec/v1\n"}, "git lfs pull"),
    ],
)
def test_half_a_set(tmp_path: Path, files: dict[str, object], says: str) -> None:
    put(tmp_path, files)
    with pytest.raises(ModelError) as caught:
        safetensors.tensors(tmp_path)
    assert says in str(caught.value)


def test_a_link_that_leads_nowhere_is_a_missing_shard(tmp_path: Path) -> None:
    put(tmp_path, {safetensors.INDEX: INDEX, min(PARTS): PARTS[min(PARTS)]})
    (tmp_path / max(PARTS)).symlink_to(tmp_path / "blobs" / "gone")
    with pytest.raises(ModelError, match="1 of its 2 weight files are missing"):
        safetensors.tensors(tmp_path)


def test_a_huge_header_that_is_not_there_costs_nothing(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(struct.pack("<Q", 2**40))
    with file.open("r+b") as sparse:
        sparse.truncate(2**41)
    with pytest.raises(ModelError, match="its header would have"):
        safetensors.tensors(file)


def test_many_tensors_are_read_quickly(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    header = {f"model.layers.{n}.mlp.experts.{n}.weight": entry("F32", (2,), n * 8, n * 8 + 8) for n in range(20_000)}
    file.write_bytes(raw_safetensors(json.dumps(header).encode(), bytes(8 * 20_000)))
    started = time.perf_counter()
    assert len(safetensors.tensors(file)) == 20_000
    assert time.perf_counter() - started < 2
