"""Classifiers: labels of texts and of tokens, and a model's outputs as they are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.integration.runtimes.encoder import folders
from tests.integration.runtimes.encoder.client import (
    CLASSIFY,
    EMBED,
    POOLING,
    RERANK,
    TOKENIZE,
    good,
    refused,
    unpacked,
)
from tests.integration.runtimes.runtime import Runtime

pytestmark = pytest.mark.engine

TEXTS = ["What a lovely day by the sea!", "Nobody answers my letters."]
NAMES = list(folders.LABELS.values())


def softmax(values: Any) -> Any:
    raised = np.exp(values - np.max(values, axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def test_labels_are_what_the_head_gives(classifier: Runtime, classifier_folder: Path) -> None:
    body = good(classifier.post(CLASSIFY, {"model": "m", "input": TEXTS}))
    bare = good(classifier.post(CLASSIFY, {"input": TEXTS, "use_activation": False}))["data"]
    assert (body["model"], body["object"]) == ("m", "list")
    assert body["usage"]["prompt_tokens"] == body["usage"]["total_tokens"] > 0
    for place, text in enumerate(TEXTS):
        ids = good(classifier.post(TOKENIZE, {"prompt": text}))["tokens"]
        expected = folders.logits(classifier_folder, ids, ())
        entry = body["data"][place]
        assert entry["index"] == place
        assert entry["num_classes"] == 3
        assert entry["label"] == NAMES[int(expected.argmax())]
        assert entry["probs"] == pytest.approx(softmax(expected), abs=1e-5)
        assert bare[place]["probs"] == pytest.approx(expected, abs=1e-4)
        assert sum(entry["probs"]) == pytest.approx(1)


def test_one_text_and_tokens(classifier: Runtime) -> None:
    ids = good(classifier.post(TOKENIZE, {"prompt": TEXTS[0]}))["tokens"]
    one = good(classifier.post(CLASSIFY, {"input": TEXTS[0]}))["data"]
    assert len(one) == 1
    for given in (ids, [ids]):
        found = good(classifier.post(CLASSIFY, {"input": given}))["data"][0]["probs"]
        assert found == pytest.approx(one[0]["probs"], abs=1e-6)


def test_pooling_of_a_classifier(classifier: Runtime) -> None:
    probs = [entry["probs"] for entry in good(classifier.post(CLASSIFY, {"input": TEXTS}))["data"]]
    for fields in ({}, {"task": "classify"}):
        rows = good(classifier.post(POOLING, {"input": TEXTS, **fields}))["data"]
        assert [row["object"] for row in rows] == ["pooling", "pooling"]
        assert np.allclose([row["data"] for row in rows], probs, atol=1e-6)
    packed = good(classifier.post(POOLING, {"input": TEXTS, "encoding_format": "base64"}))["data"]
    assert np.allclose([unpacked(row["data"]) for row in packed], probs, atol=1e-6)
    assert "it can classify" in refused(classifier.post(POOLING, {"input": "a", "task": "embed"}), "task", "wrong_task")
    refused(classifier.post(POOLING, {"input": "a", "dimensions": 2}), "dimensions")


def test_what_is_for_other_models(classifier: Runtime, encoder: Runtime) -> None:
    for answer in (
        classifier.post(EMBED, {"input": "a"}),
        classifier.post(RERANK, {"query": "a", "documents": ["b"]}),
        encoder.post(CLASSIFY, {"input": "a"}),
    ):
        assert "is for" in refused(answer, "model", "wrong_task")


@pytest.mark.parametrize(
    ("config", "activation"),
    [({"problem_type": "multi_label_classification"}, "sigmoid"), ({"problem_type": "regression"}, "identity")],
)
def test_the_activation_the_config_names(
    minilm: Path, tmp_path: Path, make_encoder: Callable[..., Runtime], config: dict[str, Any], activation: str
) -> None:
    folder = folders.with_head(minilm, tmp_path / "m", 3, id2label=folders.LABELS, **config)
    runtime = make_encoder(folder, task="classify").start().ready()
    bare = good(runtime.post(CLASSIFY, {"input": TEXTS, "use_activation": False}))["data"]
    found = good(runtime.post(CLASSIFY, {"input": TEXTS}))["data"]
    for one, other in zip(bare, found, strict=True):
        values = np.array(one["probs"])
        expected = values if activation == "identity" else 1 / (1 + np.exp(-values))
        assert other["probs"] == pytest.approx(expected, abs=1e-6)


def test_labels_of_tokens(minilm: Path, tmp_path: Path, make_encoder: Callable[..., Runtime]) -> None:
    folder = folders.tagger(minilm, tmp_path / "m")
    runtime = make_encoder(folder, task="classify").start().ready()
    body = good(runtime.post(POOLING, {"input": TEXTS}))
    states = good(runtime.post(POOLING, {"input": TEXTS, "task": "token_embed", "use_activation": False}))["data"]
    *_, weight, bias = folders.head_of(folder)
    for row, state in zip(body["data"], states, strict=True):
        assert np.allclose(row["data"], softmax(np.array(state["data"]) @ weight.T + bias), atol=1e-4)
    assert "token_classify" in refused(runtime.post(CLASSIFY, {"input": "a"}), "task")
