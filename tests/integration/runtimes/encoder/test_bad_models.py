"""Models that cannot be served say why when they are loaded; numbers that are none never reach a client."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moorage.engines.onnx import Onnx
from tests.integration.runtimes.encoder import folders
from tests.integration.runtimes.encoder.client import EMBED, EMBED_V2, RERANK, embeddings
from tests.integration.runtimes.runtime import Runtime

pytestmark = pytest.mark.engine

WORDS = "embeddings.word_embeddings.weight"
BOAT = 4049
"""The token of `boat`."""


def module(kind: str) -> list[dict[str, Any]]:
    return [
        {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "path": "1_Pooling", "type": f"sentence_transformers.models.{kind}"},
    ]


REFUSED: list[tuple[dict[str, object], dict[str, Any], str]] = [
    ({"tokenizer_json": None}, {}, "no tokenizer.json"),
    ({"tokenizer_json": b"{}"}, {}, "tokenizer"),
    ({"config_json": None}, {}, "config.json"),
    ({"config_json": b'{"model_type": '}, {}, "config.json"),
    ({"model_safetensors": None}, {}, "safetensors"),
    ({"modules_json": module("LSTM")}, {}, "LSTM"),
    ({"modules_json": {"no": "list"}}, {}, "modules.json"),
    ({"1_Pooling__config_json": {"pooling_mode": "median"}}, {}, "median"),
    ({"1_Pooling__config_json": {"include_prompt": False}}, {}, "prompts"),
    ({"config_sentence_transformers_json": {"prompts": {"query": 3}}}, {}, "prompts"),
    ({}, {"task": "rerank"}, "set its task to embed"),
    ({}, {"task": "classify"}, "set its task to embed"),
]


@pytest.mark.parametrize(("files", "changes", "words"), REFUSED, ids=lambda value: str(value)[:40])
def test_folders_that_cannot_be_served(
    minilm: Path,
    tmp_path: Path,
    make_encoder: Callable[..., Runtime],
    files: dict[str, object],
    changes: dict[str, Any],
    words: str,
) -> None:
    refuses(make_encoder(folders.changed(minilm, tmp_path / "m", **files), **changes), words)


def test_a_truncated_tokenizer(minilm: Path, tmp_path: Path, make_encoder: Callable[..., Runtime]) -> None:
    half = (minilm / "tokenizer.json").read_bytes()[:200_000]
    refuses(make_encoder(folders.changed(minilm, tmp_path / "m", tokenizer_json=half)), "tokenizer")


def test_truncated_weights(minilm: Path, tmp_path: Path, make_encoder: Callable[..., Runtime]) -> None:
    half = (minilm / "model.safetensors").read_bytes()[:40_000_000]
    refuses(make_encoder(folders.changed(minilm, tmp_path / "m", model_safetensors=half)), "model.safetensors")


@pytest.mark.parametrize(
    "content", [b"", b"hello" * 100, b"half", b"\x08\x07\x3a\x00"], ids=["empty", "text", "half", "no graph"]
)
def test_broken_onnx(
    minilm: Path, int8_graph: Path, tmp_path: Path, make_encoder: Callable[..., Runtime], content: bytes
) -> None:
    graph = int8_graph.read_bytes()[:1_000_000] if content == b"half" else content
    folder = folders.changed(minilm, tmp_path / "m", model_safetensors=None, model_onnx=graph)
    refuses(make_encoder(folder), "model.onnx")


def test_an_onnx_file_without_a_tokenizer(int8_graph: Path, make_encoder: Callable[..., Runtime]) -> None:
    refuses(make_encoder(int8_graph), "no tokenizer.json")


def test_a_folder_that_is_not_there(tmp_path: Path, make_encoder: Callable[..., Runtime]) -> None:
    refuses(make_encoder(tmp_path / "none"), "none")


def test_an_onnx_file_by_its_name(minilm: Path, int8_graph: Path, tmp_path: Path, make_encoder: Any) -> None:
    """Beside its tokenizer, or in `onnx/` below it."""
    folder = folders.changed(minilm, tmp_path / "m", model_safetensors=None)
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model_quantized.onnx").symlink_to(int8_graph)
    for path in (folder, folder / "onnx" / "model_quantized.onnx"):
        runtime: Runtime = make_encoder(path).start().ready()
        assert embeddings(runtime, "hello").shape == (1, 384)


def test_weights_that_are_all_nan(minilm: Path, tmp_path: Path, make_encoder: Callable[..., Runtime]) -> None:
    folder = folders.spoiled(minilm, tmp_path / "m", "encoder.layer.5.output.dense.weight", None)
    refuses(make_encoder(folder), "NaN")


def test_one_word_that_gives_nan(minilm: Path, tmp_path: Path, make_encoder: Callable[..., Runtime]) -> None:
    runtime = make_encoder(folders.spoiled(minilm, tmp_path / "m", WORDS, BOAT)).start().ready()
    for path, body in (
        (EMBED, {"input": ["a harbour", "a boat"]}),
        (EMBED_V2, {"texts": ["a boat"], "embedding_types": ["int8", "base64"]}),
        (RERANK, {"query": "a boat", "documents": ["a harbour"]}),
        ("/pooling", {"input": "a boat", "task": "token_embed"}),
    ):
        answer = runtime.post(path, body)
        assert answer.status == 500
        assert answer.error["code"] == "not_a_number"
        assert "NaN" in answer.error["message"]
    assert embeddings(runtime, "a harbour").shape == (1, 384)


def test_wrong_labels(minilm: Path, tmp_path: Path, make_encoder: Callable[..., Runtime]) -> None:
    folder = folders.with_head(minilm, tmp_path / "m", 3, id2label={"0": "yes", "1": "no"})
    refuses(make_encoder(folder, task="classify"), "3 scores")
    refuses(make_encoder(folder, task="rerank"), "3 scores")


def test_more_tokens_in_the_config_than_in_the_weights(
    minilm: Path, tmp_path: Path, make_encoder: Callable[..., Runtime]
) -> None:
    """A token that is not there would fail the whole step, other callers' texts too."""
    config = json.loads((minilm / "config.json").read_bytes()) | {"vocab_size": 30523}
    refuses(make_encoder(folders.changed(minilm, tmp_path / "m", config_json=config)), "vocab_size")


def test_another_models_tokenizer(minilm: Path, tmp_path: Path, make_encoder: Callable[..., Runtime]) -> None:
    tokenizer = json.loads((minilm / "tokenizer.json").read_bytes())
    tokenizer["model"]["vocab"]["boat"] = 40_000
    runtime = make_encoder(folders.changed(minilm, tmp_path / "m", tokenizer_json=tokenizer)).start().ready()
    answer = runtime.post(EMBED, {"input": ["a harbour", "a boat"]})
    assert (answer.status, answer.error["code"]) == (500, "wrong_tokenizer")
    assert "input[1]: the tokenizer gives token 40000" in answer.error["message"]
    assert embeddings(runtime, "a harbour").shape == (1, 384)


@pytest.mark.parametrize("token", [10**12, 30522, -5])
def test_a_token_for_padding_that_is_none(
    minilm: Path, tmp_path: Path, make_encoder: Callable[..., Runtime], encoder: Runtime, token: int
) -> None:
    config = json.loads((minilm / "config.json").read_bytes()) | {"pad_token_id": token}
    runtime = make_encoder(folders.changed(minilm, tmp_path / "m", config_json=config)).start().ready()
    texts = ["a boat", "a boat in a harbour"]
    assert np.allclose(embeddings(runtime, texts), embeddings(encoder, texts), atol=1e-5)


def refuses(runtime: Runtime, words: str) -> None:
    """It ends with 1, a last line that says why, and a cause the adapter knows."""
    assert runtime.start().wait(30) == 1
    last = runtime.log.rstrip().splitlines()[-1]
    assert last.startswith("moorage: ")
    assert words in last, runtime.log
    assert "Traceback" not in runtime.log
    diagnosis = Onnx().diagnose(runtime.log)
    assert diagnosis is not None
    assert diagnosis.cause
    assert diagnosis.fix
    json.dumps([diagnosis.cause, diagnosis.fix])
