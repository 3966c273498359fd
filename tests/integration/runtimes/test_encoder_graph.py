"""The graph of a real encoder, on the real weights, beside what transformers computed from them."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from moorage.config.defaults import DEFAULT_EMBEDDING
from moorage.config.places import default_cache_dir
from moorage.models.store import ModelStore
from moorage.runtimes.onnx.graph import build
from tests.unit.runtimes.onnx.graph.checkpoints import ENCODERS, Arrays, run, session


@pytest.fixture(scope="module")
def folder() -> Path:
    return asyncio.run(ModelStore(default_cache_dir()).fetch(DEFAULT_EMBEDDING.source, DEFAULT_EMBEDDING.sha256))


@pytest.fixture(scope="module")
def wanted() -> Arrays:
    with np.load(ENCODERS / "minilm.npz") as file:
        return dict(file)


def test_vectors_of_sentences(folder: Path, wanted: Arrays) -> None:
    states = run(folder, wanted)["last_hidden_state"]
    first = states[0, : len(wanted["first"])]
    assert float(np.abs(first - wanted["first"]).max()) <= 1e-4
    mask = wanted["attention_mask"][:, :, None]
    means = (states * mask).sum(1) / mask.sum(1)
    vectors = means / np.linalg.norm(means, axis=1, keepdims=True)
    assert ((vectors * wanted["vectors"]).sum(1) >= 0.99999).all()


def test_a_text_as_long_as_it_may_be_and_one_token_more(folder: Path) -> None:
    graph = build(folder)
    runner = session(graph)
    for length in (graph.max_length, graph.max_length + 1):
        ids = np.full((1, length), 2000, dtype=np.int64)
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        if length == graph.max_length:
            assert np.isfinite(runner.run(None, feed)[0]).all()
        else:
            with pytest.raises(Exception, match="indices element out of data bounds"):
                runner.run(None, feed)


def test_the_graph_is_small_and_the_weights_stay_in_their_file(folder: Path) -> None:
    assert len(build(folder).model) < 100_000


def test_vectors_in_integers(folder: Path, wanted: Arrays) -> None:
    graph = build(folder, quantize=True)
    (states,) = session(graph).run(graph.outputs, {name: wanted[name] for name in graph.inputs})
    mask = wanted["attention_mask"][:, :, None]
    means = (states * mask).sum(1) / mask.sum(1)
    vectors = means / np.linalg.norm(means, axis=1, keepdims=True)
    assert ((vectors * wanted["vectors"]).sum(1) >= 0.99).all()
