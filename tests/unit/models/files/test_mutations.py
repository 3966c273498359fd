"""Small whole models, damaged at random in one file: each reads or is refused, in bounded time and memory."""

import random
import shutil
import time
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from moorage.core.facts import ModelFacts
from moorage.errors import ModelError
from moorage.models.files import facts
from tests.unit.models.files import small_files
from tests.unit.models.files.small_files import BERT, bert, node, onnx, put, whisper_vocabulary
from tests.unit.models.files.test_gguf import gguf, numbers, strings
from tests.unit.models.files.test_sentence import POOLING, TRANSFORMER

DEADLINE_S = 5.0
MEMORY_BYTES = 64 * 1024 * 1024


def safetensors_folder(folder: Path) -> str:
    half = "model-0000{}-of-00002.safetensors"
    shards = {
        half.format(1): small_files.safetensors({"a": ("F32", (4, 2))}),
        half.format(2): small_files.safetensors(),
    }
    index = {"weight_map": {"a": half.format(1), "embeddings.word_embeddings.weight": half.format(2)}}
    files = {
        "modules.json": [TRANSFORMER, POOLING],
        "1_Pooling/config.json": {"pooling_mode_cls_token": True},
        "sentence_bert_config.json": {"max_seq_length": 12},
        "tokenizer_config.json": {"model_max_length": 512, "chat_template": [{"name": "default", "template": "x"}]},
        "config.json": {**BERT, "id2label": {"0": "a", "1": "b"}, "quantization_config": {"quant_method": "awq"}},
    }
    bert(folder, files={**files, **shards, "model.safetensors.index.json": index})
    (folder / "model.safetensors").unlink()
    return "."


def onnx_folder(folder: Path) -> str:
    inner = small_files.field(1, node("Relu")) + small_files.field(5, small_files.initializer("i", 3, (2, 2)))
    branch = small_files.fields((1, "then_branch"), (6, inner))
    outside = small_files.external("w", 1, (4,), location="data", offset="0", length="16")
    content = onnx(nodes=(node("If", "", branch),), initializers=(small_files.WORDS, outside), metadata={"a": "b"})
    put(folder, {"config.json": BERT, "onnx/model.onnx": content, "onnx/data": bytes(16)})
    return "."


def onnx_file(folder: Path) -> str:
    put(folder, {"model.onnx": onnx()})
    return "model.onnx"


def openvino_folder(folder: Path) -> str:
    put(folder, {"config.json": BERT, **small_files.openvino()})
    return "."


def whisper_folder(folder: Path) -> str:
    model = small_files.ctranslate2(8)
    put(folder, {"model.bin": model, "config.json": {}, "vocabulary.json": whisper_vocabulary()})
    return "."


def gguf_file(folder: Path) -> str:
    values = {
        "general.architecture": "bert",
        "bert.pooling_type": 4,
        "bert.classifier.output_labels": strings("a", "b"),
        "bert.attention.head_count": numbers(1, 2),
    }
    put(folder, {"model.gguf": gguf(values)})
    return "model.gguf"


MAKERS: Mapping[str, Callable[[Path], str]] = {
    maker.__name__: maker
    for maker in (safetensors_folder, onnx_folder, onnx_file, openvino_folder, whisper_folder, gguf_file)
}


@pytest.fixture(scope="module", params=MAKERS)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A whole model, and which path in it is named."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, MAKERS[request.param](folder)


def damaged(content: bytes, dice: random.Random) -> bytes:
    """Bytes overwritten, moved, doubled, cut out, cut off; numbers made huge."""
    found = bytearray(content)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(found) + 1)
        length = dice.choice((1, 1, 1, 4, 8, 64))
        match dice.randrange(6):
            case 0:
                found[at : at + length] = dice.randbytes(length)
            case 1:
                found[at : at + length] = b""
            case 2:
                found[at:at] = found[at : at + length]
            case 3:
                found[at : at + length] = b"\xff" * dice.choice((1, 4, 8))
            case 4:
                found[at : at + 1] = str(dice.choice((-1, 0, 2**31, 2**64, 10**30))).encode()
            case _:
                del found[at:]
        if not found:
            break
    return bytes(found)


def read(path: Path) -> ModelFacts | None:
    """Within the bounds; None where it was refused."""
    tracemalloc.start()
    started = time.perf_counter()
    try:
        return facts(path)
    except ModelError:
        return None
    finally:
        took_s, (_, peak_bytes) = time.perf_counter() - started, tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert took_s < DEADLINE_S
        assert peak_bytes < MEMORY_BYTES


def test_whole_ones_read(whole: tuple[Path, str]) -> None:
    folder, named = whole
    found = read(folder / named)
    assert found is not None
    assert found.parameters


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
@example(seed=0)
def test_damaged_ones_read_or_are_refused(whole: tuple[Path, str], tmp_path: Path, seed: int) -> None:
    folder, named = whole
    dice = random.Random(seed)
    copy = tmp_path / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    victim = dice.choice(sorted(path for path in copy.rglob("*") if path.is_file()))
    victim.write_bytes(damaged(victim.read_bytes(), dice))
    found = read(copy / named)
    if found is not None:
        assert found.size_bytes >= 0
        assert len(str(found)) < 100_000


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300), name=st.sampled_from(("model.onnx", "model.gguf", "model.bin", "x")))
def test_any_bytes_are_refused_or_read(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    read(tmp_path / name)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.dictionaries(
        st.sampled_from(
            (
                *("architectures", "model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "id2label"),
                *("max_position_embeddings", "vocab_size", "text_config", "quantization_config", "num_labels", "bits"),
                *("quant_method", "config_groups", "quantization", "sentence_transformers", "head_dim"),
            )
        ),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.sampled_from(("bert", "whisper", "BertModel", "LlamaForCausalLM", "", "0")),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(("0", "1", "a", "weights", "num_bits", "bits")), inner, max_size=3)
            ),
            max_leaves=6,
        ),
    )
)
def test_any_config_is_refused_or_read(tmp_path: Path, values: dict[str, object]) -> None:
    read(bert(tmp_path, {**BERT, **values}))
