"""What the fake engine says as a text encoder, in the shapes of OpenAI, Cohere, Jina and vLLM.

Texts match by the words they share, so everyone can tell which ranks first.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

from moorage.testing.replies import CREATED, count, encode, hash_of, text_of

DIMENSIONS = 8


def embeddings(body: Mapping[str, Any], model: str) -> bytes:
    texts = _texts(body.get("input"))
    data = [{"object": "embedding", "index": index, "embedding": vector(text)} for index, text in enumerate(texts)]
    return encode({"object": "list", "data": data, "model": model, "usage": _usage(*texts)})


def embed(body: Mapping[str, Any], model: str) -> bytes:
    """Cohere's shape: the usage is in `meta`."""
    texts = _texts(body.get("texts") or body.get("inputs"))
    return encode(
        {
            "id": "embd-fake",
            "model": model,
            "response_type": "embeddings_by_type",
            "embeddings": {"float": [vector(text) for text in texts]},
            "texts": texts,
            "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": sum(map(count, texts))}},
        }
    )


def rerank(body: Mapping[str, Any], model: str) -> bytes:
    query, documents = text_of(body.get("query")), _texts(body.get("documents"))
    results = [
        {"index": index, "document": {"text": text}, "relevance_score": likeness(query, text)}
        for index, text in enumerate(documents)
    ]
    results.sort(key=lambda result: -cast("float", result["relevance_score"]))
    total = {"total_tokens": sum(map(count, (query, *documents)))}
    return encode({"id": "rerank-fake", "model": model, "results": results[: body.get("top_n")], "usage": total})


def score(body: Mapping[str, Any], model: str) -> bytes:
    pairs = (("text_1", "text_2"), ("queries", "documents"), ("data_1", "data_2"))
    first, second = next((names for names in pairs if names[0] in body), pairs[0])
    ones, others = _texts(body.get(first)), _texts(body.get(second))
    ones = ones * len(others) if len(ones) == 1 else ones
    if len(ones) != len(others):
        raise ValueError(f"{first} and {second} do not go together")
    data = [
        {"index": index, "object": "score", "score": likeness(one, other)}
        for index, (one, other) in enumerate(zip(ones, others, strict=True))
    ]
    return encode({**_frame("score", model), "data": data, "usage": _usage(*ones, *others)})


def classify(body: Mapping[str, Any], model: str) -> bytes:
    texts = _texts(body.get("input"))
    data: list[dict[str, Any]] = []
    for index, text in enumerate(texts):
        calm = 0.25 + 0.5 * (hash_of(text) % 2)
        label = "calm" if calm > 0.5 else "storm"
        data.append({"index": index, "label": label, "probs": [calm, 1 - calm], "num_classes": 2})
    return encode({**_frame("classify", model), "data": data, "usage": _usage(*texts)})


def pooling(body: Mapping[str, Any], model: str) -> bytes:
    texts = _texts(body.get("input"))
    each_token = str(body.get("task", "")).startswith("token_")
    data = [
        {"index": index, "object": "pooling", "data": [*map(vector, text.split())] if each_token else vector(text)}
        for index, text in enumerate(texts)
    ]
    return encode({**_frame("pool", model), "data": data, "usage": _usage(*texts)})


ROUTES: Mapping[str, Callable[[Mapping[str, Any], str], bytes]] = {
    "/v1/embeddings": embeddings,
    "/v2/embed": embed,
    "/rerank": rerank,
    "/v1/rerank": rerank,
    "/v2/rerank": rerank,
    "/score": score,
    "/v1/score": score,
    "/classify": classify,
    "/pooling": pooling,
}
"""By path: a body and the model's name in, a reply's body out. They raise ValueError."""


def vector(text: str) -> list[float]:
    """Of unit length, and another for another text."""
    raw = [1.0 + (hash_of(text) >> shift & 7) for shift in range(0, 3 * DIMENSIONS, 3)]
    norm = sum(x * x for x in raw) ** 0.5
    return [x / norm for x in raw]


def likeness(query: str, document: str) -> float:
    """The share of the query's words that the document has."""
    wanted = query.lower().split()
    return sum(word in document.lower().split() for word in wanted) / max(1, len(wanted))


def _texts(value: Any) -> list[str]:
    """One text, several, or one in tokens."""
    if not isinstance(value, list):
        return [text_of(value)]
    items = cast("list[Any]", value)
    return [text_of(items)] if items and all(isinstance(item, int) for item in items) else [*map(text_of, items)]


def _frame(kind: str, model: str) -> dict[str, Any]:
    return {"id": f"{kind}-fake", "object": "list", "created": CREATED, "model": model}


def _usage(*texts: str) -> dict[str, int]:
    tokens = sum(map(count, texts))
    return {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0}
