"""The routes of an encoder, for the host's app."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from moorage.errors import BadRequest
from moorage.runtimes.encoding.embeddings import embed, embeddings
from moorage.runtimes.encoding.labels import classify, pooling
from moorage.runtimes.encoding.matching import rerank, score
from moorage.runtimes.encoding.port import Encoder, TextEncoder
from moorage.runtimes.encoding.tokens import detokenize, tokenize
from moorage.runtimes.host.app import Post
from moorage.runtimes.host.asgi import Send, reply_json
from moorage.wire.api.classify import ClassifyRequest
from moorage.wire.api.decoding import decode
from moorage.wire.api.embed_v2 import EmbedRequest
from moorage.wire.api.embeddings import EmbeddingRequest
from moorage.wire.api.pooling import PoolingRequest
from moorage.wire.api.rerank import RerankRequest, RerankResponse
from moorage.wire.api.score import ScoreRequest
from moorage.wire.api.tokens import DetokenizeRequest, TokenizeRequest
from moorage.wire.names import Task

WORK: dict[Task, str] = {
    "generate": "text generation",
    "embed": "embeddings",
    "rerank": "reranking",
    "classify": "classification",
    "transcribe": "speech to text",
}
ENCODERS: tuple[Task, ...] = ("embed", "rerank", "classify")


Request = (
    EmbeddingRequest
    | EmbedRequest
    | RerankRequest
    | ScoreRequest
    | ClassifyRequest
    | PoolingRequest
    | TokenizeRequest
    | DetokenizeRequest
)
R = TypeVar("R", bound=Request)
E = TypeVar("E", bound=Encoder)


def posts(encoder: TextEncoder, served_name: str) -> dict[str, Post]:
    """Every route of encoders by path; those that are not for this model's task say so."""
    return encoder_posts(encoder, served_name) | {
        "/tokenize": _route(encoder, served_name, TokenizeRequest, tokenize, *ENCODERS),
        "/detokenize": _route(encoder, served_name, DetokenizeRequest, detokenize, *ENCODERS),
    }


def encoder_posts(encoder: Encoder, served_name: str) -> dict[str, Post]:
    """The same without those of tokens, which a library may have of its own."""

    return {path: _route(encoder, served_name, kind, answer, *tasks) for path, kind, answer, tasks in ROUTES}


def refusals(served_name: str, own: Task) -> dict[str, Post]:
    """The routes of encoders where there is none, which say what the model is for."""

    def route(kind: type[Request], tasks: tuple[Task, ...]) -> Post:
        async def post(body: bytes, send: Send) -> None:
            expect(decode(kind, body).model or served_name, own, tasks)

        return post

    return {path: route(kind, tasks) for path, kind, _, tasks in ROUTES}


def _route(encoder: E, served_name: str, kind: type[R], answer: Callable[[R, E], Awaitable[Any]], *tasks: Task) -> Post:
    async def post(body: bytes, send: Send) -> None:
        request = decode(kind, body)
        request.model = request.model or served_name
        expect(request.model, encoder.profile.task, tasks)
        await reply_json(send, await answer(request, encoder))

    return post


async def _rerank(request: RerankRequest, encoder: Encoder) -> RerankResponse:
    return await rerank(request, encoder, version="1", with_documents=True)


async def _rerank_v2(request: RerankRequest, encoder: Encoder) -> RerankResponse:
    return await rerank(request, encoder, version="2", with_documents=False)


def expect(model: str, own: Task, tasks: tuple[Task, ...]) -> None:
    """Raises BadRequest for a model that is for something else."""
    if own not in tasks:
        raise BadRequest(
            f"model {model!r} is for {WORK[own]}, not for {WORK[tasks[0]]}", param="model", code="wrong_task"
        )


ROUTES: tuple[tuple[str, type[Any], Callable[[Any, Encoder], Awaitable[Any]], tuple[Task, ...]], ...] = (
    ("/v1/embeddings", EmbeddingRequest, embeddings, ("embed",)),
    ("/v2/embed", EmbedRequest, embed, ("embed",)),
    ("/rerank", RerankRequest, _rerank, ("rerank", "embed")),
    ("/v1/rerank", RerankRequest, _rerank, ("rerank", "embed")),
    ("/v2/rerank", RerankRequest, _rerank_v2, ("rerank", "embed")),
    ("/score", ScoreRequest, score, ("rerank", "embed")),
    ("/v1/score", ScoreRequest, score, ("rerank", "embed")),
    ("/classify", ClassifyRequest, classify, ("classify",)),
    ("/pooling", PoolingRequest, pooling, ENCODERS),
)
"""Path, request, what answers it, and the tasks of models it is for."""
