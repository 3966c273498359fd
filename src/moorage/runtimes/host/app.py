"""The routes of a runtime, as plain ASGI: a dict, a token check, and one handler each."""

import asyncio
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from moorage.access import keys
from moorage.errors import InternalError, MethodNotAllowed, MoorageError, NotAuthenticated, NotFound
from moorage.runtimes.host.asgi import (
    ClientGone,
    Receive,
    Scope,
    Send,
    body_of,
    reply,
    reply_error,
    reply_json,
    while_connected,
)
from moorage.wire.runtime import RuntimeSettings

Post = Callable[[bytes, Send], Coroutine[Any, Any, None]]
"""Answers a body that was read whole; cancelled when the client leaves."""
Upload = Callable[[Scope, Receive, Send], Awaitable[None]]
"""Reads its body itself, and watches for the client itself."""
Scrape = Callable[[], Awaitable[str]]

METRICS_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


class App:
    """Answers for one loaded model: /health, /v1/models, /metrics, and what the runtime adds."""

    def __init__(
        self,
        settings: RuntimeSettings,
        *,
        max_model_len: int | None,
        scrape: Scrape,
        posts: Mapping[str, Post],
        uploads: Mapping[str, Upload] | None = None,
        failure: asyncio.Future[None] | None = None,
    ) -> None:
        """`failure` ends with an EngineError when the library is of no use any more, and with it the process."""
        self._settings = settings
        self._max_model_len = max_model_len
        self._scrape = scrape
        self._posts = posts
        self._uploads = uploads or {}
        self.failure = failure
        self._created = int(time.time())
        self._gets = {"/health": self._health, "/metrics": self._metrics, "/v1/models": self._models}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        started = False

        async def tracking(message: Any) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            self._authenticate(scope)
            await self._dispatch(scope, receive, tracking)
        except ClientGone:
            return
        except MoorageError as error:
            if started:
                raise
            await reply_error(send, error)
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            if started:
                raise
            await reply_error(send, InternalError(f"the runtime failed: {type(error).__name__}; its log has more"))

    def _authenticate(self, scope: Scope) -> None:
        token = self._settings.token
        if token and not keys.carries(scope["headers"], token):
            raise NotAuthenticated("the bearer token is missing or wrong")

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        if (get := self._gets.get(path)) is not None:
            _expect(method, "GET", "HEAD", path=path)
            await get(send)
        elif (post := self._posts.get(path)) is not None:
            _expect(method, "POST", path=path)
            body = await body_of(receive)
            await while_connected(receive, post(body, send))
        elif (upload := self._uploads.get(path)) is not None:
            _expect(method, "POST", path=path)
            await upload(scope, receive, send)
        else:
            raise NotFound(f"there is no route {path!r}")

    async def _health(self, send: Send) -> None:
        await reply_json(send, {"status": "ok"})

    async def _metrics(self, send: Send) -> None:
        await reply(send, 200, (await self._scrape()).encode(), METRICS_TYPE)

    async def _models(self, send: Send) -> None:
        model = {
            "id": self._settings.served_name,
            "object": "model",
            "created": self._created,
            "owned_by": "moorage",
            "max_model_len": self._max_model_len,
        }
        await reply_json(send, {"object": "list", "data": [model]})


def _expect(method: str, *allowed: str, path: str) -> None:
    if method not in allowed:
        raise MethodNotAllowed(f"{path} takes {allowed[0]}, not {method}", allowed=allowed)
