"""Rerank and score: through an embedding model by the cosine, through a cross-encoder by its own score."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.integration.runtimes.encoder import folders
from tests.integration.runtimes.encoder.client import (
    EMBED,
    RERANK,
    SCORE,
    TOKENIZE,
    cosines,
    count,
    embeddings,
    good,
    refused,
)
from tests.integration.runtimes.runtime import Runtime

pytestmark = pytest.mark.engine

QUERY = "How do cats sleep?"
DOCUMENTS = ["Income tax rose in 1987.", "A cat sleeps curled up, for most of the day.", "Dogs bark at night."]
NDCG_FLOOR = 0.84
"""A margin below what the model itself reaches on all fifty queries: 0.87, where shared words reach 0.73."""


def test_documents_come_in_order_of_their_cosine(encoder: Runtime) -> None:
    body = good(encoder.post(RERANK, {"model": "m", "query": QUERY, "documents": DOCUMENTS}))
    vectors = embeddings(encoder, [QUERY, *DOCUMENTS])
    expected = cosines(vectors[:1], vectors[1:])
    assert [entry["index"] for entry in body["results"]] == [1, 2, 0]
    for entry in body["results"]:
        assert abs(entry["relevance_score"] - expected[entry["index"]]) < 1e-5
        assert entry["document"] == {"text": DOCUMENTS[entry["index"]]}
    assert body["model"] == "m"
    assert body["id"].startswith("rerank-")
    assert body["usage"]["total_tokens"] == sum(count(encoder, text) for text in (QUERY, *DOCUMENTS))
    assert body["meta"] == {"api_version": {"version": "1"}, "billed_units": {"search_units": 1}}


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank"])
def test_the_best_few_with_and_without_text(encoder: Runtime, path: str) -> None:
    given: dict[str, Any] = {"query": QUERY, "documents": [{"text": text} for text in DOCUMENTS], "top_n": 2}
    body = good(encoder.post(path, given))
    assert [entry["index"] for entry in body["results"]] == [1, 2]
    assert ("document" in body["results"][0]) is (path != "/v2/rerank")
    for wish in (True, False):
        shown = good(encoder.post(path, {**given, "return_documents": wish, "top_n": 100}))
        assert len(shown["results"]) == 3
        assert all(("document" in entry) is wish for entry in shown["results"])


def test_equal_documents_keep_their_order(encoder: Runtime) -> None:
    body = good(encoder.post(RERANK, {"query": "same", "documents": ["same", "other words", "same", "same"]}))
    assert [entry["index"] for entry in body["results"]] == [0, 2, 3, 1]
    assert abs(body["results"][0]["relevance_score"] - 1) < 1e-5


def test_people_agree_with_the_order(encoder: Runtime, lee: tuple[list[str], list[list[float]]]) -> None:
    """News texts ask for each other: people's judgements of the ten found first, against the best order there is."""
    texts, people = lee
    found: list[float] = []
    by_words: list[float] = []
    for place in range(0, len(texts), 5):
        others = [other for other in range(len(texts)) if other != place]
        relevance = [people[min(place, other)][max(place, other)] for other in others]
        given = {"query": texts[place], "documents": [texts[other] for other in others]}
        results = good(encoder.post(RERANK, {**given, "return_documents": False}))["results"]
        found.append(ndcg([relevance[entry["index"]] for entry in results]))
        shared = [-len({*texts[place].split()} & {*texts[other].split()}) for other in others]
        by_words.append(ndcg([relevance[index] for index in np.argsort(shared, kind="stable")]))
    assert np.mean(found) >= NDCG_FLOOR
    assert np.mean(found) > np.mean(by_words) + 0.1


def test_pairs_in_three_spellings(encoder: Runtime) -> None:
    for first, second in (("text_1", "text_2"), ("queries", "documents"), ("data_1", "data_2")):
        one = good(encoder.post(SCORE, {first: QUERY, second: DOCUMENTS[1]}))["data"]
        many = good(encoder.post(SCORE, {first: QUERY, second: DOCUMENTS}))["data"]
        each = good(encoder.post("/v1/score", {first: DOCUMENTS, second: DOCUMENTS}))
        assert [entry["index"] for entry in many] == [0, 1, 2]
        assert abs(one[0]["score"] - many[1]["score"]) < 1e-5
        assert all(abs(entry["score"] - 1) < 1e-5 for entry in each["data"])
        assert each["object"] == "list"
        assert each["data"][0]["object"] == "score"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "text_1"),
        ({"text_1": "a"}, "text_2"),
        ({"queries": ["a"], "text_2": "b"}, "text_1"),
        ({"text_1": ["a", "b"], "text_2": ["c"]}, "text_1"),
        ({"text_1": ["a", "b"], "text_2": ["c", "d", "e"]}, "text_1"),
        ({"text_1": "", "text_2": "a"}, "text_1"),
        ({"text_1": "a", "text_2": []}, "text_2"),
        ({"text_1": "a", "text_2": ["b", 3]}, "text_2[1]"),
        ({"text_1": "a", "text_2": ["b", ""]}, "text_2[1]"),
    ],
)
def test_pairs_that_are_none(encoder: Runtime, fields: dict[str, Any], param: str) -> None:
    refused(encoder.post(SCORE, fields), param)


def test_a_cross_encoder_scores_as_its_head_does(cross: Runtime, cross_folder: Path) -> None:
    body = good(cross.post(RERANK, {"query": QUERY, "documents": DOCUMENTS}))
    bare = good(cross.post(SCORE, {"text_1": QUERY, "text_2": DOCUMENTS, "use_activation": False}))["data"]
    query = good(cross.post(TOKENIZE, {"prompt": QUERY}))["tokens"]
    for place, document in enumerate(DOCUMENTS):
        tokens = good(cross.post(TOKENIZE, {"prompt": document}))["tokens"]
        ids, types = query + tokens[1:], [0] * len(query) + [1] * (len(tokens) - 1)
        expected = float(folders.logits(cross_folder, ids, types)[0])
        assert abs(bare[place]["score"] - expected) < 1e-4
        (entry,) = [entry for entry in body["results"] if entry["index"] == place]
        assert abs(entry["relevance_score"] - 1 / (1 + np.exp(-expected))) < 1e-4
    scores = [entry["relevance_score"] for entry in body["results"]]
    assert scores == sorted(scores, reverse=True)
    assert body["usage"]["total_tokens"] == 3 * count(cross, QUERY) + sum(count(cross, text) - 1 for text in DOCUMENTS)
    (alone,) = good(cross.post(SCORE, {"text_1": QUERY, "text_2": DOCUMENTS[0]}))["data"]
    assert abs(alone["score"] - 1 / (1 + np.exp(-bare[0]["score"]))) < 1e-6
    refused(cross.post(EMBED, {"input": "a"}), "model", "wrong_task")


def test_a_cross_encoder_keeps_the_activation_it_was_saved_with(
    minilm: Path, tmp_path: Path, make_encoder: Callable[..., Runtime], cross: Runtime
) -> None:
    said = {"activation_fn": "torch.nn.modules.linear.Identity", "version": "5.0.0"}
    folder = folders.with_head(minilm, tmp_path / "m", 1, id2label={"0": "LABEL_0"}, sentence_transformers=said)
    runtime = make_encoder(folder, task="rerank").start().ready()
    given = {"text_1": QUERY, "text_2": DOCUMENTS}
    found = good(runtime.post(SCORE, given))["data"]
    bare = good(cross.post(SCORE, {**given, "use_activation": False}))["data"]
    assert [entry["score"] for entry in found] == pytest.approx([entry["score"] for entry in bare], abs=1e-5)


@pytest.mark.parametrize("which", ["encoder", "cross"])
def test_long_documents_are_refused_or_cut(which: str, request: pytest.FixtureRequest) -> None:
    runtime: Runtime = request.getfixturevalue(which)
    long = "storm " * 400
    message = refused(runtime.post(RERANK, {"query": "wind", "documents": ["a", long]}), "documents[1]")
    assert "max_tokens_per_doc" in message
    assert "256" in message
    refused(runtime.post(RERANK, {"query": long, "documents": ["a"]}), "query", "context_length_exceeded")
    refused(runtime.post(SCORE, {"text_1": "a", "text_2": long}), "text_2", "context_length_exceeded")
    cut = good(runtime.post(RERANK, {"query": "wind", "documents": [long], "max_tokens_per_doc": 10}))
    same = good(runtime.post(RERANK, {"query": "wind", "documents": ["storm " * 10]}))
    assert cut["results"][0]["relevance_score"] == pytest.approx(same["results"][0]["relevance_score"], abs=1e-5)
    assert cut["usage"] == same["usage"]
    fitted = good(runtime.post(RERANK, {"query": "wind", "documents": [long], "max_tokens_per_doc": 4096}))
    assert fitted["usage"]["total_tokens"] <= 256 + 3
    both = {"text_1": long, "text_2": long, "truncate_prompt_tokens": -1}
    assert good(runtime.post(SCORE, both))["usage"]["total_tokens"] in (256, 512)


def test_a_hundred_documents(encoder: Runtime) -> None:
    documents = [f"Document number {index} about the harbour and its {index * 7} boats." for index in range(100)]
    body = good(encoder.post(RERANK, {"query": "boats of document 42", "documents": documents}))
    assert sorted(entry["index"] for entry in body["results"]) == list(range(100))


def ndcg(relevance: list[float], first: int = 10) -> float:
    """Normalised discounted cumulative gain (Järvelin and Kekäläinen 2002) of judgements in the order found."""
    discounts = 1 / np.log2(np.arange(2, first + 2))
    best = np.sort(relevance)[::-1]
    return float((relevance[:first] * discounts).sum() / (best[:first] * discounts).sum())


def test_a_long_query_times_many_documents_is_refused_before_it_is_read(cross: Runtime) -> None:
    """A body of a megabyte, and two gigabytes to take apart."""
    body = {"query": "word " * 200_000, "documents": ["x"] * 2048, "truncate": True}
    assert "fewer documents" in refused(cross.post(RERANK, body), "query")
    few = {**body, "documents": ["x", "y"]}
    assert len(good(cross.post(RERANK, few))["results"]) == 2
