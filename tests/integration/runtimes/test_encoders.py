"""Encoders of the BERT family as GGUF files: embeddings, and a reranker with a score at its end."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moorage.models import files
from tests.bert_gguf import write
from tests.integration.runtimes.conftest import settings_for
from tests.integration.runtimes.runtime import Runtime

pytestmark = pytest.mark.engine

QUERY = "How do cats sleep?"
DOCUMENTS = ["Income tax rose in 1987.", "A cat sleeps curled up, for most of the day.", "Dogs bark at night."]


def _running(weights: Path, task: str, **changes: Any) -> Iterator[Runtime]:
    place = Path(tempfile.mkdtemp(prefix="mo-"))
    fields = {"task": task, "slots": 2, "context": 512, "batch_tokens": 512, **changes}
    try:
        with Runtime(settings_for(weights, place, **fields)) as runtime:
            yield runtime.start().ready()
    finally:
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="module")
def embedder(embedding_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    weights = write(embedding_weights, tmp_path_factory.mktemp("gguf") / "minilm.gguf")
    assert files.facts(weights).task == "embed"
    yield from _running(weights, "embed")


@pytest.fixture(scope="module")
def reranker(embedding_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    rows = np.random.default_rng(7)
    score = rows.normal(0, 0.1, (1, 384)).astype(np.float32), np.zeros(1, np.float32)
    weights = write(embedding_weights, tmp_path_factory.mktemp("gguf") / "rank.gguf", score=score)
    assert files.facts(weights).task == "rerank"
    yield from _running(weights, "rerank", pooling="rank")


def test_a_bert_embeds(embedder: Runtime) -> None:
    answer = embedder.post("/v1/embeddings", {"model": "m", "input": [QUERY, *DOCUMENTS]})
    assert answer.status == 200, answer.content
    query, tax, cat, dogs = (np.asarray(entry["embedding"]) for entry in answer.body["data"])
    assert query.shape == (384,)
    assert query @ cat > query @ dogs > query @ tax


def test_an_embedding_model_reranks_by_the_cosine(embedder: Runtime) -> None:
    answer = embedder.post("/v1/rerank", {"model": "m", "query": QUERY, "documents": DOCUMENTS, "top_n": 2})
    assert answer.status == 200, answer.content
    assert [result["index"] for result in answer.body["results"]] == [1, 2]
    scores = embedder.post("/score", {"model": "m", "text_1": QUERY, "text_2": DOCUMENTS}).body["data"]
    for result in answer.body["results"]:
        assert result["relevance_score"] == pytest.approx(scores[result["index"]]["score"], abs=1e-4)


def test_cohere_and_pooling_give_the_same_vector(embedder: Runtime) -> None:
    plain = embedder.post("/v1/embeddings", {"model": "m", "input": QUERY}).body["data"][0]["embedding"]
    cohere = embedder.post("/v2/embed", {"model": "m", "texts": [QUERY]})
    assert cohere.status == 200, cohere.content
    assert cohere.body["embeddings"]["float"][0] == pytest.approx(plain, abs=1e-4)
    pooled = embedder.post("/pooling", {"model": "m", "input": QUERY}).body["data"][0]["data"]
    assert pooled == pytest.approx(plain, abs=1e-4)


def test_a_long_text_is_refused_or_cut_as_told(embedder: Runtime) -> None:
    text = "word " * 1000
    assert embedder.post("/v1/embeddings", {"model": "m", "input": text}).error["code"] == "context_length_exceeded"
    for side in ("left", "right"):
        answer = embedder.post(
            "/v1/embeddings",
            {"model": "m", "input": text, "truncate_prompt_tokens": 100, "truncation_side": side},
        )
        assert answer.status == 200, answer.content
        assert answer.body["usage"]["prompt_tokens"] == 100


def test_a_reranker_scores_pairs(reranker: Runtime) -> None:
    answer = reranker.post("/rerank", {"model": "m", "query": QUERY, "documents": DOCUMENTS})
    assert answer.status == 200, answer.content
    results = answer.body["results"]
    assert sorted(result["index"] for result in results) == [0, 1, 2]
    scores = [result["relevance_score"] for result in results]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score < 1 for score in scores)
    assert len(set(scores)) == 3
    assert answer.body["usage"]["prompt_tokens"] > 20
    single = reranker.post("/score", {"model": "m", "queries": QUERY, "documents": DOCUMENTS[1]}).body["data"]
    assert single[0]["score"] == pytest.approx(next(r["relevance_score"] for r in results if r["index"] == 1), abs=1e-4)


def test_a_reranker_cuts_documents_only_where_told(reranker: Runtime) -> None:
    call = {"model": "m", "query": QUERY, "documents": ["word " * 1000]}
    refused = reranker.post("/rerank", call)
    assert refused.status == 400
    assert refused.error["code"] == "context_length_exceeded"
    assert refused.error["param"] == "documents[0]"
    assert reranker.post("/rerank", {**call, "max_tokens_per_doc": 50}).status == 200


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/chat/completions", "/classify"])
def test_a_reranker_does_nothing_else(reranker: Runtime, path: str) -> None:
    body = {"model": "m", "input": "a", "messages": [{"role": "user", "content": "a"}]}
    answer = reranker.post(path, body)
    assert answer.status == 400
    assert answer.error["code"] == "wrong_task"


def test_one_text_is_no_pair(reranker: Runtime) -> None:
    answer = reranker.post("/pooling", {"model": "m", "input": "alone"})
    assert answer.status == 400
    assert "/rerank" in answer.error["message"]
