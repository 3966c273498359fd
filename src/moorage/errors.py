"""The error tree. Every error a user meets is one of these, with one HTTP status and one stable code.

    MoorageError
    ├── BadRequest 400            the call is wrong: says which field and what it may be
    │   ├── NotAuthenticated 401
    │   ├── Forbidden 403
    │   ├── NotFound 404          a route, a response, a replica
    │   │   └── ModelNotFound     no model of that name here
    │   ├── MethodNotAllowed 405
    │   ├── RequestTimeout 408    the client sent too slowly
    │   ├── Conflict 409
    │   ├── TooLarge 413
    │   ├── UnsupportedType 415   a body of another kind than the route takes
    │   └── HeadersTooLarge 431
    ├── Unavailable 503           right call, wrong moment: carries Retry-After
    │   ├── Overloaded            the queue is full
    │   ├── NoRoom                the disk is full
    │   └── NotReady              no replica of the model is ready
    ├── UpstreamError 502         the engine or provider failed or answered nonsense
    │   ├── UpstreamUnreachable   could not connect
    │   └── UpstreamBroken        it broke off
    ├── DeadlineExceeded 504      names the setting that ran out
    ├── InternalError 500
    ├── ConfigError               the configuration file
    ├── ModelError                a model's source or file
    └── EngineError               an engine that cannot do or cannot start what was asked

The first five families are answers to calls; the last three are met at start and on the command line.
"""

from collections.abc import Sequence
from typing import Any, ClassVar


class MoorageError(Exception):
    """What happened, to which value, and what to do about it, in one message."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    kind: ClassVar[str] = "server_error"
    """OpenAI's `error.type`."""

    def __init__(
        self, message: str, *, param: str | None = None, code: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.error_code = code or self.code
        self.retry_after_s = retry_after_s

    def openai(self) -> dict[str, Any]:
        """The body of OpenAI's error replies (and of the error event that ends a broken stream)."""
        return {
            "error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.error_code},
        }

    def headers(self) -> dict[str, str]:
        """What an HTTP answer says besides: when to come back, how to authenticate."""
        headers: dict[str, str] = {}
        if self.retry_after_s is not None:
            headers["retry-after"] = str(max(1, round(self.retry_after_s)))
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        return headers


class BadRequest(MoorageError):
    status = 400
    code = "invalid_request"
    kind = "invalid_request_error"


class NotAuthenticated(BadRequest):
    status = 401
    code = "invalid_api_key"
    kind = "authentication_error"


class Forbidden(BadRequest):
    status = 403
    code = "forbidden"
    kind = "permission_error"


class NotFound(BadRequest):
    status = 404
    code = "not_found"


class ModelNotFound(NotFound):
    code = "model_not_found"


class MethodNotAllowed(BadRequest):
    status = 405
    code = "method_not_allowed"

    def __init__(self, message: str, *, allowed: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.allowed = tuple(allowed)

    def headers(self) -> dict[str, str]:
        return super().headers() | {"allow": ", ".join(self.allowed)}


class RequestTimeout(BadRequest):
    status = 408
    code = "request_timeout"


class Conflict(BadRequest):
    status = 409
    code = "conflict"


class TooLarge(BadRequest):
    status = 413
    code = "request_too_large"


class UnsupportedType(BadRequest):
    status = 415
    code = "unsupported_media_type"


class HeadersTooLarge(BadRequest):
    status = 431
    code = "headers_too_large"


class Unavailable(MoorageError):
    status = 503
    code = "unavailable"
    kind = "service_unavailable"


class Overloaded(Unavailable):
    code = "overloaded"


class NoRoom(Unavailable):
    code = "no_room"


class NotReady(Unavailable):
    code = "model_not_ready"


class UpstreamError(MoorageError):
    status = 502
    code = "upstream_error"
    kind = "upstream_error"


class UpstreamUnreachable(UpstreamError):
    code = "upstream_unreachable"


class UpstreamBroken(UpstreamError):
    code = "upstream_broken"


class DeadlineExceeded(MoorageError):
    status = 504
    code = "deadline_exceeded"
    kind = "timeout_error"


class InternalError(MoorageError):
    pass


class ConfigError(MoorageError):
    code = "config_error"


class ModelError(MoorageError):
    code = "model_error"


class EngineError(MoorageError):
    code = "engine_error"
