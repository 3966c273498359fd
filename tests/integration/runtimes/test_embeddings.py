"""Embeddings of a GGUF model."""

import base64
import math
import struct
from typing import Any

import pytest

from tests.contract.openai_schema import validate
from tests.integration.runtimes.runtime import Runtime

pytestmark = pytest.mark.engine

PATH = "/v1/embeddings"
WIDTH = 576


def vectors(runtime: Runtime, given: Any, **fields: Any) -> list[list[float]]:
    answer = runtime.post(PATH, {"model": "m", "input": given, **fields})
    assert answer.status == 200, answer.content
    validate("CreateEmbeddingResponse", answer.body)
    assert answer.body["model"] == "m"
    assert [entry["index"] for entry in answer.body["data"]] == list(range(len(answer.body["data"])))
    return [entry["embedding"] for entry in answer.body["data"]]


def cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_vectors_are_normal_and_mean_something(embed: Runtime) -> None:
    cat, kitten, tax = vectors(embed, ["The cat sleeps.", "A kitten is sleeping.", "Income tax of 1987: 34%"])
    for vector in (cat, kitten, tax):
        assert len(vector) == WIDTH
        assert math.isclose(math.hypot(*vector), 1, abs_tol=1e-3)
    assert cosine(cat, kitten) > cosine(cat, tax)


def test_tokens_lists_and_texts_agree(embed: Runtime) -> None:
    tokens = embed.post("/tokenize", {"prompt": "hello world"}).body["tokens"]
    (text,) = vectors(embed, "hello world")
    for given in (tokens, [tokens], ["hello world"]):
        assert cosine(text, vectors(embed, given)[0]) > 0.9999


def test_base64_is_the_same_in_little_endian_floats(embed: Runtime) -> None:
    body = embed.post(PATH, {"model": "m", "input": "hello", "encoding_format": "base64"}).body
    raw = base64.b64decode(body["data"][0]["embedding"])
    (plain,) = vectors(embed, "hello")
    assert cosine(list(struct.unpack(f"<{WIDTH}f", raw)), plain) > 0.9999


def test_a_thousand_tokens(embed: Runtime) -> None:
    answer = embed.post(PATH, {"model": "m", "input": "word " * 1000, "dimensions": WIDTH})
    assert answer.status == 200, answer.content
    assert answer.body["usage"]["prompt_tokens"] == embed.count(prompt="word " * 1000) > 1000
    assert answer.body["usage"]["total_tokens"] == answer.body["usage"]["prompt_tokens"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": ["a", 3]}, "input"),
        ({"input": [[1], []]}, "input[1]"),
        ({"input": [10**6]}, "input[0]"),
        ({"input": [-1]}, "input[0]"),
        ({"input": {"text": "a"}}, "input"),
        ({}, "input"),
        ({"input": "a", "dimensions": 64}, "dimensions"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
    ],
)
def test_wrong_input(embed: Runtime, fields: dict[str, Any], param: str) -> None:
    answer = embed.post(PATH, {"model": "m", **fields})
    assert answer.status == 400
    validate("ErrorResponse", answer.body)
    assert answer.error["param"] == param


def test_too_long_names_both_numbers(embed: Runtime) -> None:
    answer = embed.post(PATH, {"model": "m", "input": "word " * 3000})
    assert answer.status == 400
    assert answer.error["code"] == "context_length_exceeded"
    assert "1536" in answer.error["message"]
    assert str(embed.count(prompt="word " * 3000)) in answer.error["message"]


def test_the_wrong_task_is_named(embed: Runtime, generate: Runtime) -> None:
    for answer in (embed.chat(), embed.complete(), generate.post(PATH, {"model": "m", "input": "a"})):
        assert answer.status == 400
        assert answer.error["code"] == "wrong_task"
        assert "'m' is for" in answer.error["message"]
