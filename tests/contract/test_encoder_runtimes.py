"""One suite over the runtimes that encode: each serves the same model, and answers alike in the same shapes."""

import base64
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from moorage.wire.api.embed_v2 import EmbedResponse
from moorage.wire.api.pooling import PoolingResponse
from moorage.wire.api.rerank import RerankResponse
from moorage.wire.api.score import ScoreResponse
from moorage.wire.api.tokens import DetokenizeResponse, TokenizeResponse
from moorage.wire.runtime import EncoderSettings, LlamaCppSettings, RuntimeSettings
from tests import openvino_ir
from tests.bert_gguf import write
from tests.contract.openai_schema import validate
from tests.integration.runtimes.runtime import TOKEN, Answer, Runtime

pytestmark = pytest.mark.engine

TEXTS = ["A cat sleeps on the sofa.", "Die Steuern steigen.", "naïve café — 日本語 🚢", "word " * 100]
REFERENCE = json.loads(
    (Path(__file__).parent.parent / "integration" / "runtimes" / "encoder" / "reference.json").read_bytes()
)
QUERY = "What do cats do?"
CONTEXT = 256

T = TypeVar("T")


def settings(folder: Path, model: Path, **fields: Any) -> dict[str, Any]:
    common = {"socket": f"{folder}/engine.sock", "token": TOKEN, "model_path": str(model), "served_name": "m"}
    return common | {"task": "embed", "threads": 1, "context": CONTEXT, "grace_s": 1.0} | fields


def llamacpp(folder: Path, weights: Path) -> RuntimeSettings:
    model = write(weights, folder / "model.gguf", half=False)
    return LlamaCppSettings(**settings(folder, model, slots=2, batch_tokens=CONTEXT))


def onnx(folder: Path, weights: Path) -> RuntimeSettings:
    return EncoderSettings(**settings(folder, weights, batch_tokens=1024, max_calls=16))


def openvino_encoder(folder: Path, weights: Path) -> RuntimeSettings:
    model = openvino_ir.write(weights, folder / "ir", half=True)
    return EncoderSettings(**settings(folder, model, batch_tokens=1024, max_calls=16))


@pytest.fixture(scope="module", params=[llamacpp, onnx, openvino_encoder], ids=["llamacpp", "onnx", "openvino_encoder"])
def runtime(request: pytest.FixtureRequest, embedding_weights: Path) -> Iterator[Runtime]:
    folder = Path(tempfile.mkdtemp(prefix="mo-"))
    make = request.param
    try:
        with Runtime(make(folder, embedding_weights), make.__name__) as running:
            yield running.start().ready()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def answered(answer: Answer, kind: type[T]) -> T:
    assert answer.status == 200, answer.content
    return msgspec.json.decode(answer.content, type=kind)


def vectors(runtime: Runtime, given: Any, **fields: Any) -> NDArray[np.float64]:
    answer = runtime.post("/v1/embeddings", {"model": "m", "input": given, **fields})
    assert answer.status == 200, answer.content
    validate("CreateEmbeddingResponse", answer.body)
    return np.asarray([entry["embedding"] for entry in answer.body["data"]])


def test_vectors_are_those_of_the_reference(runtime: Runtime) -> None:
    """What transformers gives: tests/integration/runtimes/encoder/make_reference.py."""
    pairs = [
        (sentence, np.frombuffer(base64.b64decode(vector), "<f4"))
        for sentence, vector in zip(REFERENCE["sentences"], REFERENCE["vectors"], strict=True)
        # BERT's own tokenizer knows no word of more than 100 letters; llama.cpp takes it to pieces.
        if max(map(len, sentence.split())) <= 100
    ]
    found = vectors(runtime, [sentence for sentence, _ in pairs], truncate_prompt_tokens=-1)
    wanted = np.stack([vector for _, vector in pairs])
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-4)
    assert (found * wanted).sum(axis=1).min() > 0.999


def test_a_text_alone_and_among_others_is_the_same(runtime: Runtime) -> None:
    together = vectors(runtime, TEXTS)
    for text, among in zip(TEXTS, together, strict=True):
        assert vectors(runtime, text)[0] @ among > 0.99999


def test_ranks_and_scores_are_cosines(runtime: Runtime) -> None:
    query, *documents = vectors(runtime, [QUERY, *TEXTS])
    cosines = [float(query @ document) for document in documents]
    ranked = answered(runtime.post("/v1/rerank", {"query": QUERY, "documents": TEXTS}), RerankResponse)
    assert [result.index for result in ranked.results] == list(np.argsort(cosines)[::-1])
    for result in ranked.results:
        assert result.relevance_score == pytest.approx(cosines[result.index], abs=1e-3)
        assert result.document is not None
        assert result.document.text == TEXTS[result.index]
    scored = answered(runtime.post("/score", {"text_1": QUERY, "text_2": TEXTS}), ScoreResponse)
    assert [entry.score for entry in scored.data] == pytest.approx(cosines, abs=1e-3)


def test_the_other_spellings_carry_the_same_vectors(runtime: Runtime) -> None:
    plain = vectors(runtime, TEXTS)
    cohere = answered(runtime.post("/v2/embed", {"texts": TEXTS, "embedding_types": ["float", "int8"]}), EmbedResponse)
    assert cohere.embeddings.floats is not None
    assert np.asarray(cohere.embeddings.floats) == pytest.approx(plain, abs=1e-4)
    assert cohere.embeddings.int8 is not None
    pooled = answered(runtime.post("/pooling", {"input": TEXTS}), PoolingResponse)
    assert np.asarray([entry.data for entry in pooled.data]) == pytest.approx(plain, abs=1e-4)


def test_tokens_count_what_is_charged(runtime: Runtime) -> None:
    counted = answered(runtime.post("/tokenize", {"prompt": TEXTS[0]}), TokenizeResponse)
    charged = runtime.post("/v1/embeddings", {"input": TEXTS[0]}).body["usage"]["prompt_tokens"]
    assert counted.count == len(counted.tokens) == charged
    assert counted.max_model_len == CONTEXT
    assert vectors(runtime, counted.tokens)[0] @ vectors(runtime, TEXTS[0])[0] > 0.99999
    told = answered(runtime.post("/detokenize", {"tokens": counted.tokens}), DetokenizeResponse)
    assert "cat sleeps on the sofa" in told.prompt.lower()


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/embeddings", {"input": ""}, "input"),
        ("/v1/embeddings", {"input": ["a", 3]}, "input"),
        ("/v1/embeddings", {"input": [10**7]}, "input[0]"),
        ("/v1/embeddings", {"input": "a", "dimensions": 64}, "dimensions"),
        ("/v1/embeddings", {"input": "word " * 1000}, "input"),
        ("/v2/embed", {"texts": ["word " * 1000], "truncate": "NONE"}, "texts[0]"),
        ("/rerank", {"query": "a", "documents": []}, "documents"),
        ("/rerank", {"query": "a", "documents": ["b", "word " * 1000]}, "documents[1]"),
        ("/score", {"text_1": ["a", "b"], "text_2": ["a", "b", "c"]}, "text_1"),
        ("/score", {"text_1": "a"}, "text_2"),
        ("/classify", {"input": "a"}, "model"),
        ("/pooling", {"input": "a", "task": "classify"}, "task"),
    ],
)
def test_what_is_wrong_is_named(runtime: Runtime, path: str, body: dict[str, Any], param: str) -> None:
    answer = runtime.post(path, {"model": "m", **body})
    assert answer.status == 400, answer.content
    validate("ErrorResponse", answer.body)
    assert answer.error["param"] == param


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_long_text_is_cut_as_told(runtime: Runtime, side: str) -> None:
    text = "first " * 400 + "last " * 400
    answer = runtime.post(
        "/v1/embeddings", {"model": "m", "input": text, "truncate_prompt_tokens": 32, "truncation_side": side}
    )
    assert answer.status == 200, answer.content
    assert answer.body["usage"]["prompt_tokens"] == 32
    ends = vectors(runtime, ["first " * 30, "last " * 30])
    near, far = ends if side == "right" else ends[::-1]
    found = np.asarray(answer.body["data"][0]["embedding"])
    assert found @ near > found @ far
