"""What each route of a gateway takes and answers: the one table behind the document.

Inference routes are known by the name of their surface, whose paths are in `surfaces.hot`; the others by method and
path. A test holds both against the routes that are served.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from moorage import errors
from moorage.errors import MoorageError
from moorage.telemetry import exposition
from moorage.wire.api import (
    audio,
    chat,
    chat_reply,
    classify,
    completions,
    elastic,
    embed_v2,
    embeddings,
    health,
    models,
    pooling,
    rerank,
    score,
    status,
    tokens,
)

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
SUBTITLES = ("application/x-subrip; charset=utf-8", "text/vtt; charset=utf-8")
"""`srt` and `vtt`."""
EVENTS = "text/event-stream"

Refusal = type[MoorageError]

ASKED: tuple[Refusal, ...] = (errors.NotAuthenticated, errors.Forbidden)
"""Who may call."""
SENT: tuple[Refusal, ...] = (
    errors.BadRequest,
    *ASKED,
    errors.NotFound,
    errors.RequestTimeout,
    errors.TooLarge,
    errors.UnsupportedType,
    errors.InternalError,
    errors.UpstreamError,
    errors.Unavailable,
    errors.DeadlineExceeded,
)
"""Calls with a body, for an engine."""
ADMINISTERED: tuple[Refusal, ...] = (errors.BadRequest, *ASKED, errors.NotFound, errors.UpstreamError, errors.NotReady)
"""Calls for the controller."""


@dataclass(frozen=True)
class Parameter:
    name: str
    place: Literal["path", "query"]
    about: str
    schema: Mapping[str, Any]
    example: str | int | bool | None = None


@dataclass(frozen=True)
class Operation:
    """What one route does for one method."""

    tag: str
    summary: str
    about: str = ""
    request: tuple[type, ...] = ()
    """Any of these."""
    replies: Mapping[str, tuple[type, ...]] = field(default_factory=dict[str, tuple[type, ...]])
    """Content type → any of these; none for a text."""
    events: tuple[type, ...] = ()
    """Of a stream."""
    refusals: tuple[Refusal, ...] = ()
    not_ready: type | None = None
    """The body of status 503, where it is no error."""
    keyless: bool = False
    parameters: tuple[Parameter, ...] = ()


TAGS = {
    "Text": "Chat and text completion.",
    "Vectors": "Embeddings and what else an encoder gives.",
    "Relevance": "How well texts match: with a cross-encoder, or by the cosine of an embedding model.",
    "Speech": "Speech to text.",
    "Tokens": "Texts as the tokens a model reads, and back.",
    "Models": "What is served.",
    "Server": "For probes, load balancers and scrapers.",
    "Administration": "Replicas, workers and gateways, as `moorage status` and `moorage logs` show them.",
}

_RERANK = Operation(
    "Relevance",
    "Order documents by relevance",
    "Results come in falling order of relevance.",
    request=(rerank.RerankRequest,),
    replies={JSON: (rerank.RerankResponse,)},
    refusals=SENT,
)
_TEXT_REQUESTS = (
    chat.ChatRequest,
    completions.CompletionRequest,
    pooling.PoolingRequest,
    embeddings.EmbeddingRequest,
    classify.ClassifyRequest,
    score.ScoreRequest,
    rerank.RerankRequest,
    embed_v2.EmbedRequest,
    tokens.DetokenizeRequest,
)
_TEXT_REPLIES = (
    chat_reply.ChatCompletion,
    completions.Completion,
    pooling.PoolingResponse,
    embeddings.EmbeddingResponse,
    classify.ClassifyResponse,
    score.ScoreResponse,
    rerank.RerankResponse,
    embed_v2.EmbedResponse,
    tokens.DetokenizeResponse,
)

_SPEECH_REPLIES: Mapping[str, tuple[type, ...]] = {
    JSON: (audio.TranscriptionReply, audio.VerboseReply),
    **dict.fromkeys((TEXT, *SUBTITLES), ()),
}

INFERENCE: Mapping[str, Operation] = {
    "chat": Operation(
        "Text",
        "Answer a conversation",
        "With `stream` the reply comes as server-sent events.",
        request=(chat.ChatRequest,),
        replies={JSON: (chat_reply.ChatCompletion,)},
        events=(chat_reply.ChatCompletionChunk,),
        refusals=SENT,
    ),
    "completions": Operation(
        "Text",
        "Continue a text",
        "With `stream` the reply comes as server-sent events.",
        request=(completions.CompletionRequest,),
        replies={JSON: (completions.Completion,)},
        events=(completions.CompletionChunk,),
        refusals=SENT,
    ),
    "embeddings": Operation(
        "Vectors",
        "Embed texts",
        request=(embeddings.EmbeddingRequest,),
        replies={JSON: (embeddings.EmbeddingResponse,)},
        refusals=SENT,
    ),
    "embed": Operation(
        "Vectors",
        "Embed texts, in Cohere's shape",
        request=(embed_v2.EmbedRequest,),
        replies={JSON: (embed_v2.EmbedResponse,)},
        refusals=SENT,
    ),
    "pooling": Operation(
        "Vectors",
        "A model's outputs as they are",
        "Of whole texts, or token by token.",
        request=(pooling.PoolingRequest,),
        replies={JSON: (pooling.PoolingResponse,)},
        refusals=SENT,
    ),
    "classify": Operation(
        "Vectors",
        "Label texts",
        request=(classify.ClassifyRequest,),
        replies={JSON: (classify.ClassifyResponse,)},
        refusals=SENT,
    ),
    "rerank": _RERANK,
    "score": Operation(
        "Relevance",
        "Score pairs of texts",
        request=(score.ScoreRequest,),
        replies={JSON: (score.ScoreResponse,)},
        refusals=SENT,
    ),
    "transcriptions": Operation(
        "Speech",
        "Write down what is said",
        "`response_format` decides what comes back; with `stream` it comes as server-sent events.",
        request=(audio.TranscriptionRequest,),
        replies=_SPEECH_REPLIES,
        events=(audio.TextDelta, audio.TextDone),
        refusals=SENT,
    ),
    "translations": Operation(
        "Speech",
        "Write down in English what is said in any language",
        "A model that only writes down refuses.",
        request=(audio.TranslationRequest,),
        replies=_SPEECH_REPLIES,
        events=(audio.TextDelta, audio.TextDone),
        refusals=SENT,
    ),
    "tokenize": Operation(
        "Tokens",
        "A text or conversation as tokens",
        request=(tokens.TokenizeRequest,),
        replies={JSON: (tokens.TokenizeResponse,)},
        refusals=SENT,
    ),
    "detokenize": Operation(
        "Tokens",
        "Tokens as text",
        request=(tokens.DetokenizeRequest,),
        replies={JSON: (tokens.DetokenizeResponse,)},
        refusals=SENT,
    ),
    "invocations": Operation(
        "Server",
        "Any of the above but speech, told apart by the body",
        "SageMaker's one route. The fields of the body say which route is meant.",
        request=_TEXT_REQUESTS,
        replies={JSON: _TEXT_REPLIES},
        events=(chat_reply.ChatCompletionChunk, completions.CompletionChunk),
        refusals=SENT,
    ),
}

_MODEL = Parameter(
    "id", "path", "A model's id or another of its names; slashes may stand as they are.", {"type": "string"}
)
_REPLICA = Parameter("id", "path", "A replica's id, from `/api/v1/status`.", {"type": "string"})
_TAIL = Parameter(
    "tail", "query", "So many of the last lines.", {"type": "integer", "minimum": 0, "maximum": 100_000}, 20
)
_FOLLOW = Parameter("follow", "query", "Go on with lines as they come.", {"type": "boolean"}, False)

PLAIN: Mapping[tuple[str, str], Operation] = {
    ("get", "/v1/models"): Operation(
        "Models", "Every model the caller may use", replies={JSON: (models.ModelList,)}, refusals=ASKED
    ),
    ("get", "/v1/models/{id}"): Operation(
        "Models",
        "One model",
        "By its id, or by another of its names; the reply's `id` is the name that was asked for.",
        replies={JSON: (models.Model,)},
        refusals=(*ASKED, errors.NotFound),
        parameters=(_MODEL,),
    ),
    ("get", "/health"): Operation(
        "Server",
        "Is it alive, and how do its models fare",
        "200 while the gateway lives.",
        replies={JSON: (health.Health,)},
        keyless=True,
    ),
    ("get", "/ready"): Operation(
        "Server",
        "Is every model ready",
        "200 once every model that should run has a ready replica, and where there are no models.",
        replies={JSON: (health.Readiness,)},
        not_ready=health.Readiness,
        keyless=True,
    ),
    ("get", "/ping"): Operation("Server", "Is it alive", "An empty reply.", keyless=True),
    ("post", "/ping"): Operation("Server", "Is it alive", "An empty reply.", keyless=True),
    ("get", "/version"): Operation("Server", "Moorage's version", replies={JSON: (health.Version,)}, keyless=True),
    ("get", "/load"): Operation("Server", "Calls in flight", replies={JSON: (health.ServerLoad,)}, refusals=ASKED),
    ("post", "/scale_elastic_ep"): Operation(
        "Server",
        "More or fewer copies of a model while it serves",
        "Of an engine with elastic expert parallelism its data parallel ranks, of every other model its replicas. "
        "Holds until the server starts anew or the configuration says another number.",
        request=(elastic.ScaleRequest,),
        replies={JSON: (elastic.ScaleReply,)},
        refusals=SENT,
    ),
    ("post", "/is_scaling_elastic_ep"): Operation(
        "Server",
        "Is a model being scaled",
        request=(elastic.ScalingQuery,),
        replies={JSON: (elastic.Scaling,)},
        refusals=SENT,
    ),
    ("get", "/metrics"): Operation(
        "Server",
        "Metrics",
        "Prometheus' text format, for all gateways of the machine. Not there where `monitoring.metrics` is off.",
        replies={exposition.TEXT: ()},
        refusals=ASKED,
    ),
    ("get", "/api/v1/status"): Operation(
        "Administration",
        "Models with their replicas, workers, gateways",
        replies={JSON: (status.Status,)},
        refusals=ADMINISTERED,
    ),
    ("get", "/api/v1/replicas/{id}"): Operation(
        "Administration",
        "One replica",
        replies={JSON: (status.Replica,)},
        refusals=ADMINISTERED,
        parameters=(_REPLICA,),
    ),
    ("get", "/api/v1/replicas/{id}/log"): Operation(
        "Administration",
        "A replica's log",
        "What its engine wrote, from the worker that runs it.",
        replies={TEXT: ()},
        refusals=ADMINISTERED,
        parameters=(_REPLICA, _TAIL, _FOLLOW),
    ),
    ("get", "/openapi.json"): Operation("Server", "This document", replies={JSON: ()}, keyless=True),
    ("get", "/docs"): Operation(
        "Server", "This document, to read and try", "Swagger UI.", replies={"text/html": ()}, keyless=True
    ),
    ("get", "/docs/oauth2-redirect"): Operation(
        "Server", "Where a sign-in begun in /docs ends", replies={"text/html": ()}, keyless=True
    ),
    ("get", "/docs/assets/{name}"): Operation(
        "Server",
        "The programs and styles of the two pages",
        replies={"*/*": ()},
        refusals=(errors.NotFound,),
        keyless=True,
        parameters=(Parameter("name", "path", "A file's name.", {"type": "string"}, "favicon.png"),),
    ),
    ("get", "/redoc"): Operation("Server", "This document, to read", "Redoc.", replies={"text/html": ()}, keyless=True),
}
