"""What routes answer, as OpenAPI's response objects: replies, streams, refusals, and the headers they carry."""

from collections.abc import Callable, Iterable
from typing import Any

from moorage import errors
from moorage.errors import MoorageError
from moorage.gateway.openapi.operations import EVENTS, JSON, Operation, Refusal
from moorage.wire.api.failure import ErrorReply

Json = dict[str, Any]

DONE = "[DONE]"
Schema = Callable[[type], Json]
"""The schema of a type, as a reference."""

REFUSALS: tuple[tuple[Refusal, str, MoorageError], ...] = (
    (
        errors.BadRequest,
        "The call is wrong; `param` names the field.",
        errors.BadRequest("temperature: expected a number <= 2.0", param="temperature"),
    ),
    (
        errors.NotAuthenticated,
        "No key, or none that is known here.",
        errors.NotAuthenticated("no API key; send one as 'Authorization: Bearer KEY'", code="missing_api_key"),
    ),
    (
        errors.Forbidden,
        "This caller may not: a key without the right, or, where none is needed, a web page from elsewhere.",
        errors.Forbidden("origin 'https://example.com' is not this machine"),
    ),
    (
        errors.NotFound,
        "There is no such model, replica or file.",
        errors.ModelNotFound("there is no model 'x' here; models: 'y'", param="model"),
    ),
    (
        errors.RequestTimeout,
        "The client sent too slowly.",
        errors.RequestTimeout("the request's body did not arrive in time"),
    ),
    (errors.TooLarge, "The body is too large.", errors.TooLarge("the request body is larger than 10485760 bytes")),
    (
        errors.UnsupportedType,
        "The body is of another kind than the route takes.",
        errors.UnsupportedType("send application/json"),
    ),
    (errors.InternalError, "A fault of the server.", errors.InternalError("internal error; request id req_0")),
    (
        errors.UpstreamError,
        "The engine failed or answered nonsense.",
        errors.UpstreamBroken("the engine's stream ended early"),
    ),
    (
        errors.Unavailable,
        "Right call, wrong moment: no replica is ready, or the queue is full.",
        errors.NotReady("no replica of 'y' is ready: starting", retry_after_s=2.0),
    ),
    (
        errors.DeadlineExceeded,
        "A deadline ran out; the message names its setting.",
        errors.DeadlineExceeded("no first token within 300 s (server.request_timeout)"),
    ),
)
"""What each status means, with one that has it."""
HEADERS: Json = {
    "RequestId": {
        "description": "The call's id, also in the server's log.",
        "schema": {"type": "string", "pattern": "^req_[0-9a-f]{24}$"},
        "required": True,
    },
    "RetryAfter": {
        "description": "Seconds after which to try again.",
        "schema": {"type": "integer", "minimum": 1},
        "required": True,
    },
    "Authenticate": {"description": "How to show a key.", "schema": {"type": "string"}, "required": True},
}


def refusals(schema: Json) -> dict[str, Json]:
    """The components, by status; `schema` is that of their body."""
    return {kind.__name__: _refusal(text, error, schema) for kind, text, error in REFUSALS}


def responses(operation: Operation, schema: Schema) -> Json:
    content: Json = {media: {"schema": one_of(kinds, schema)} for media, kinds in operation.replies.items()}
    if operation.events:
        content[EVENTS] = _stream(operation, schema)
    found: Json = {"200": {"description": "The reply.", "headers": _headers()}}
    if content:
        found["200"]["content"] = content
    if operation.not_ready is not None:
        found["503"] = {
            "description": "Not yet.",
            "headers": _headers("RetryAfter"),
            "content": {JSON: {"schema": schema(operation.not_ready)}},
        }
    for kind in operation.refusals:
        found[str(kind.status)] = {"$ref": f"#/components/responses/{_name(kind.status)}"}
    return dict(sorted(found.items()))


def one_of(kinds: Iterable[type], schema: Schema) -> Json:
    found = [schema(kind) for kind in kinds]
    if not found:
        return {}
    return found[0] if len(found) == 1 else {"anyOf": found}


def _stream(operation: Operation, schema: Schema) -> Json:
    """OpenAPI 3.2 has `itemSchema` for an event; in 3.1 it is the schema itself that readers take for it."""
    names = " or ".join(kind.__name__ for kind in operation.events)
    data: Json = {
        "type": "string",
        "contentMediaType": JSON,
        "contentSchema": one_of((*operation.events, ErrorReply), schema),
    }
    return {
        "schema": {
            "type": "object",
            "description": f"A server-sent event: its `data` is a {names}. A whole stream ends in `{DONE}`, one that "
            "breaks in an ErrorReply.",
            "properties": {"data": {"anyOf": [data, {"const": DONE}]}},
            "required": ["data"],
        }
    }


def _name(status: int) -> str:
    return next(kind.__name__ for kind, _, _ in REFUSALS if kind.status == status)


def _refusal(text: str, error: MoorageError, schema: Json) -> Json:
    more = {401: ("Authenticate",), 503: ("RetryAfter",)}.get(error.status, ())
    return {
        "description": text,
        "headers": _headers(*more),
        "content": {JSON: {"schema": schema, "example": error.openai()}},
    }


def _headers(*names: str) -> Json:
    wire = {"RetryAfter": "Retry-After", "Authenticate": "WWW-Authenticate"}
    found = {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}}
    return found | {wire[name]: {"$ref": f"#/components/headers/{name}"} for name in names}
