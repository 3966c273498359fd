"""GGUF models as llama.cpp's own package writes them: rerankers, classifiers, and parts of a large model."""

from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np
import pytest

from moorage.errors import ModelError
from moorage.models.files import facts
from tests.unit.models.files import test_gguf as small
from tests.unit.models.files.small_files import put


def written(path: Path, *, labels: Sequence[str] = (), pooling: gguf.PoolingType = gguf.PoolingType.RANK) -> Path:
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_block_count(2)
    writer.add_context_length(512)
    writer.add_embedding_length(8)
    writer.add_head_count(2)
    writer.add_pooling_type(pooling)
    if labels:
        writer.add_classifier_output_labels(labels)
    writer.add_tensor("token_embd.weight", np.zeros((10, 8), np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize(
    ("labels", "task", "shown"),
    [
        ((), "rerank", ()),
        (("relevance",), "rerank", ()),
        (("yes", "no"), "rerank", ()),
        (("No", "Yes"), "rerank", ()),
        (("bad", "good"), "classify", ("bad", "good")),
        (("a", "b", "ünï"), "classify", ("a", "b", "ünï")),
    ],
)
def test_rank_pooling(tmp_path: Path, labels: tuple[str, ...], task: str, shown: tuple[str, ...]) -> None:
    found = facts(written(tmp_path / "model.gguf", labels=labels))
    assert (found.task, found.pooling, found.labels) == (task, "rank", shown)
    assert (found.quantization, found.parameters, found.layers) == ("F16", 80, 2)


def test_other_pooling_embeds(tmp_path: Path) -> None:
    found = facts(written(tmp_path / "model.gguf", pooling=gguf.PoolingType.CLS))
    assert (found.task, found.pooling) == ("embed", "cls")


PARTS = ("big-00001-of-00003.gguf", "big-00002-of-00003.gguf", "big-00003-of-00003.gguf")


def split(folder: Path) -> Path:
    """Three parts as gguf's writer splits them, of one tensor each."""
    writer = gguf.GGUFWriter(folder / "big.gguf", "llama", split_max_tensors=1)
    writer.add_block_count(2)
    writer.add_context_length(128)
    for number in range(3):
        writer.add_tensor(f"blk.{number}.attn_q.weight", np.zeros((8, 8), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return folder / PARTS[0]


def test_a_split_model(tmp_path: Path) -> None:
    first = split(tmp_path)
    found = facts(first)
    assert (found.architecture, found.layers, found.context_length, found.parameters) == ("llama", 2, 128, 192)
    assert found.size_bytes == sum((tmp_path / name).stat().st_size for name in PARTS)
    assert (found.path, found.weights) == (str(first), tuple(str(tmp_path / name) for name in PARTS))
    assert facts(tmp_path) == found


def test_a_later_part_is_no_model(tmp_path: Path) -> None:
    split(tmp_path)
    with pytest.raises(ModelError, match="is part 2 of 3 of a model; name the first part"):
        facts(tmp_path / PARTS[1])


@pytest.mark.parametrize(
    ("gone", "says"),
    [
        (PARTS[1:], r"2 of them are missing \(big-00002-of-00003\.gguf, big-00003-of-00003\.gguf\)"),
        (PARTS[2:], r"1 of them are missing \(big-00003-of-00003\.gguf\)"),
        (PARTS[:1], "there is no file .*big-00001-of-00003"),
    ],
)
def test_half_a_set(tmp_path: Path, gone: tuple[str, ...], says: str) -> None:
    split(tmp_path)
    for name in gone:
        (tmp_path / name).unlink()
    with pytest.raises(ModelError, match=says):
        facts(tmp_path)


def test_a_first_part_under_another_name(tmp_path: Path) -> None:
    renamed = split(tmp_path).rename(tmp_path / "model.gguf")
    with pytest.raises(ModelError, match="its name does not say where the others are"):
        facts(renamed)


def test_a_part_cut_short(tmp_path: Path) -> None:
    split(tmp_path)
    last = tmp_path / PARTS[2]
    last.write_bytes(last.read_bytes()[:-40])
    with pytest.raises(ModelError, match=r"big-00003-of-00003\.gguf' is truncated"):
        facts(tmp_path)


def test_parts_that_are_not_of_one_model(tmp_path: Path) -> None:
    split(tmp_path)
    (tmp_path / PARTS[2]).write_bytes((tmp_path / PARTS[1]).read_bytes())
    with pytest.raises(ModelError, match="is not part 3 of 3, as its name says"):
        facts(tmp_path)
    (tmp_path / PARTS[2]).write_bytes(small.gguf())
    with pytest.raises(ModelError, match="is not part 3 of 3, as its name says"):
        facts(tmp_path)


def test_parts_with_other_tensors_than_announced(tmp_path: Path) -> None:
    first, second = "m-00001-of-00002.gguf", "m-00002-of-00002.gguf"
    told = {"split.count": 2, "split.tensors.count": 9}
    put(
        tmp_path,
        {
            first: small.gguf({**small.LLAMA, **told, "split.no": 0}),
            second: small.gguf({"split.no": 1, "split.count": 2}),
        },
    )
    with pytest.raises(ModelError, match="announces 9 tensors, its 2 parts have 2"):
        facts(tmp_path / first)
