"""Calls of the encoder routes, checked for what every good answer has."""

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.contract.openai_schema import validate
from tests.integration.runtimes.runtime import Answer, Runtime

EMBED, EMBED_V2, RERANK, SCORE = "/v1/embeddings", "/v2/embed", "/v1/rerank", "/score"
CLASSIFY, POOLING, TOKENIZE, DETOKENIZE = "/classify", "/pooling", "/tokenize", "/detokenize"
Json = dict[str, Any]
Floats = NDArray[np.float32]


def good(answer: Answer) -> Any:
    assert answer.status == 200, answer.content
    return answer.body


def refused(answer: Answer, param: str | None = None, code: str | None = None) -> str:
    """The message."""
    assert answer.status == 400, answer.content
    validate("ErrorResponse", answer.body)
    assert answer.error["type"] == "invalid_request_error"
    if param is not None:
        assert answer.error["param"] == param, answer.error
    if code is not None:
        assert answer.error["code"] == code, answer.error
    return answer.error["message"]


def embeddings(runtime: Runtime, given: Any, **fields: Any) -> Floats:
    body = good(runtime.post(EMBED, {"model": "m", "input": given, **fields}))
    validate("CreateEmbeddingResponse", body)
    assert body["model"] == "m"
    assert [entry["index"] for entry in body["data"]] == list(range(len(body["data"])))
    return np.array([entry["embedding"] for entry in body["data"]], np.float32)


def unpacked(text: str) -> Floats:
    return np.frombuffer(base64.b64decode(text), "<f4")


def cosines(one: Floats, other: Floats) -> Floats:
    """Row by row."""
    lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    return (one * other).sum(axis=-1) / lengths


def count(runtime: Runtime, text: str, **fields: Any) -> int:
    return good(runtime.post(TOKENIZE, {"prompt": text, **fields}))["count"]
