"""Whatever is sent is answered with a status and an error that names the field; nothing fails inside."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec import Struct, structs

from moorage.wire.api.classify import ClassifyRequest
from moorage.wire.api.embed_v2 import EmbedRequest
from moorage.wire.api.embeddings import EmbeddingRequest
from moorage.wire.api.pooling import PoolingRequest
from moorage.wire.api.rerank import RerankRequest
from moorage.wire.api.score import ScoreRequest
from moorage.wire.api.tokens import DetokenizeRequest, TokenizeRequest
from tests.integration.runtimes.encoder.client import (
    CLASSIFY,
    DETOKENIZE,
    EMBED,
    EMBED_V2,
    POOLING,
    RERANK,
    SCORE,
    TOKENIZE,
    embeddings,
    good,
    refused,
)
from tests.integration.runtimes.runtime import Runtime

pytestmark = pytest.mark.engine

GOOD: dict[str, tuple[type[Struct], dict[str, Any]]] = {
    EMBED: (EmbeddingRequest, {"input": "x"}),
    EMBED_V2: (EmbedRequest, {"texts": ["x"]}),
    RERANK: (RerankRequest, {"query": "x", "documents": ["y"]}),
    SCORE: (ScoreRequest, {"text_1": "x", "text_2": "y"}),
    CLASSIFY: (ClassifyRequest, {"input": "x"}),
    POOLING: (PoolingRequest, {"input": "x"}),
    TOKENIZE: (TokenizeRequest, {"prompt": "x"}),
    DETOKENIZE: (DetokenizeRequest, {"tokens": [101]}),
}
VALUES: list[Any] = [
    *(None, True, -7, 0, 3, 10**25, 0.5, "", "text", [], [None], [True], ["text", 1], [""], [[]], [[1.5]], [[-1]]),
    *({}, {"type": 5}, [{"x": 1}], [{"text": ""}], ["float", "hex"]),
]


def wrong_values() -> Iterator[Any]:
    for path, (kind, _) in GOOD.items():
        for field in structs.fields(kind):
            values = [value for value in VALUES if not fits(value, field.type)]
            yield pytest.param(path, field.name, values, id=f"{path}-{field.name}")


def fits(value: Any, kind: Any) -> bool:
    try:
        msgspec.json.decode(json.dumps(value), type=kind)
    except msgspec.ValidationError:
        return False
    return True


@pytest.mark.parametrize(("path", "field", "values"), list(wrong_values()))
def test_wrong_types_in_every_field(
    encoder: Runtime, classifier: Runtime, path: str, field: str, values: list[Any]
) -> None:
    runtime = classifier if path == CLASSIFY else encoder
    assert values
    for value in values:
        answer = runtime.post(path, {**GOOD[path][1], field: value})
        refused(answer)
        param = answer.error["param"]
        assert param == field or param.startswith((f"{field}.", f"{field}[")), answer.error


RANGES: list[tuple[str, dict[str, Any], str]] = [
    (EMBED, {"input": ["x", 1]}, "input"),
    (EMBED, {"input": ["x", [1]]}, "input"),
    (EMBED, {"input": [30522]}, "input[0]"),
    (EMBED, {"input": [[101], [101, 99999]]}, "input[1][1]"),
    (EMBED, {"dimensions": 383}, "dimensions"),
    (EMBED, {"dimensions": 385}, "dimensions"),
    (EMBED, {"truncate_prompt_tokens": 257}, "truncate_prompt_tokens"),
    (EMBED, {"truncate_prompt_tokens": 2}, "truncate_prompt_tokens"),
    (EMBED, {"truncate_prompt_tokens": 0}, "truncate_prompt_tokens"),
    (EMBED, {"prompt_name": "query"}, "prompt_name"),
    (EMBED, {"input": [101] * 257}, "input"),
    (EMBED, {"input": "x" * ((1 << 20) + 1)}, "input"),
    (EMBED_V2, {"output_dimension": 12}, "output_dimension"),
    (EMBED_V2, {"max_tokens": 2}, "max_tokens"),
    (EMBED_V2, {"input_type": "image"}, "input_type"),
    (RERANK, {"documents": ["x"] * 2049}, "documents"),
    (RERANK, {"query": "word " * 300}, "query"),
    (POOLING, {"task": "classify"}, "task"),
    (POOLING, {"task": "token_classify"}, "task"),
    (POOLING, {"task": "token_embed", "dimensions": 12}, "dimensions"),
    (POOLING, {"task": "token_embed", "input": [[101] * 200] * 200}, "input"),
    (TOKENIZE, {"prompt": None}, "prompt"),
    (TOKENIZE, {"prompt": "x", "messages": [{"role": "user", "content": "x"}]}, "messages"),
    (TOKENIZE, {"prompt": "x" * ((1 << 20) + 1)}, "prompt"),
    (DETOKENIZE, {"tokens": [30522]}, "tokens[0]"),
]


@pytest.mark.parametrize(("path", "fields", "param"), RANGES)
def test_values_out_of_range(encoder: Runtime, path: str, fields: dict[str, Any], param: str) -> None:
    message = refused(encoder.post(path, {**GOOD[path][1], **fields}), param)
    assert len(message) < 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b'{"input": "\xff\xfe"}',
        rb'{"input": "\ud800"}',
        rb'{"input": ["fine", "\udfff not"]}',
        b'{"input": ' + b"[" * 100_000,
        b'{"input": ' + b"[" * 1000 + b"]" * 1000 + b"}",
        b'{"input": "x", "dimensions": NaN}',
        b'{"input": "x", "dimensions": 1e999}',
        b'{"input": "x", "more": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001,
    ],
    ids=lambda body: repr(body[:24]),
)
@pytest.mark.parametrize("path", [EMBED, POOLING])
def test_bodies_that_are_none(encoder: Runtime, path: str, body: bytes) -> None:
    refused(encoder.call("POST", path, body))


ODD = [
    " ",
    "\n\t\r",
    "\x00",
    "a\x00b",
    "\u202e\u200b\ufeff",
    "\ufffe\uffff",
    "e\u0301" * 50,
    "🏴‍☠️" * 20,
    "𐍈" * 100,
    "[CLS][SEP][PAD][UNK]",
    "%s %d {} \\u0000 \\x00",
    "\u0e33" * 60,
    "a" * 100_000,
]


@pytest.mark.parametrize("text", ODD, ids=lambda text: repr(text[:12]))
def test_odd_texts_are_only_texts(encoder: Runtime, text: str) -> None:
    (vector,) = embeddings(encoder, text, truncate=True)
    assert np.isfinite(vector).all()
    assert abs(float(np.linalg.norm(vector)) - 1) < 1e-4
    tokens = good(encoder.post(TOKENIZE, {"prompt": text, "return_token_strs": True}))
    assert len(tokens["tokens"]) == len(tokens["token_strs"]) == tokens["count"]
    good(encoder.post(DETOKENIZE, {"tokens": tokens["tokens"]}))


def test_tokens_and_back(encoder: Runtime) -> None:
    body = good(encoder.post(TOKENIZE, {"prompt": "hello world", "return_token_strs": True}))
    assert body == {
        "count": 4,
        "max_model_len": 256,
        "tokens": [101, 7592, 2088, 102],
        "token_strs": ["[CLS]", "hello", "world", "[SEP]"],
    }
    bare = good(encoder.post(TOKENIZE, {"prompt": "hello world", "add_special_tokens": False}))
    assert bare["tokens"] == [7592, 2088]
    assert bare["token_strs"] is None
    assert good(encoder.post(DETOKENIZE, {"tokens": bare["tokens"]})) == {"prompt": "hello world"}
    assert good(encoder.post(DETOKENIZE, {"tokens": []})) == {"prompt": ""}
    assert good(encoder.post(TOKENIZE, {"prompt": "word " * 300}))["count"] == 302


def test_routes_that_are_none(encoder: Runtime) -> None:
    for method, path, status in [
        ("POST", "/v1/chat/completions", 404),
        ("POST", "/nothing", 404),
        ("GET", EMBED, 405),
        ("POST", "/health", 405),
    ]:
        assert encoder.call(method, path).status == status
    assert encoder.call("POST", EMBED, b"{}", token="wrong").status == 401
    assert good(encoder.get("/v1/models"))["data"][0]["max_model_len"] == 256


def test_nothing_of_it_broke_the_engine(encoder: Runtime) -> None:
    assert embeddings(encoder, "x").shape == (1, 384)
    assert "Traceback" not in encoder.log
