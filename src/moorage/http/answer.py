"""Our messages and errors as answers of a Starlette app: the same body and headers from every server of ours."""

from collections.abc import Mapping
from typing import Any

import msgspec
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from moorage.errors import InternalError, MethodNotAllowed, MoorageError, NotFound

log = structlog.get_logger("http")

_encode = msgspec.json.Encoder().encode


class Said(Response):
    """A message of `wire` as JSON."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return _encode(content)


def answer(error: MoorageError) -> Response:
    return JSONResponse(error.openai(), status_code=error.status, headers=error.headers())


async def _ours(_: Request, error: Exception) -> Response:
    assert isinstance(error, MoorageError)
    return answer(error)


async def _of_the_router(request: Request, error: Exception) -> Response:
    """Starlette's own: no such route, or not by that method."""
    assert isinstance(error, HTTPException)
    path = request.url.path
    if error.status_code == 405:
        allowed = sorted((error.headers or {}).get("Allow", "").split(", "))
        message = f"{request.method} {path} is not possible; use {', '.join(allowed)}"
        return answer(MethodNotAllowed(message, allowed=allowed))
    return answer(NotFound(f"there is no {path!r} here"))


async def _fault(request: Request, error: Exception) -> Response:
    log.error("a call met a fault of ours", path=request.url.path, exc_info=error)
    return answer(InternalError(f"internal error ({type(error).__name__}); the server's log has more"))


ERROR_HANDLERS: Mapping[Any, Any] = {MoorageError: _ours, HTTPException: _of_the_router, Exception: _fault}
"""For `Starlette(exception_handlers=…)`."""
