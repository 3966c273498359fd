"""The worker's own API, on a Unix socket of this user: health, replicas, their logs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from moorage.access import keys
from moorage.errors import BadRequest, ConfigError, NotAuthenticated, NotFound
from moorage.http.answer import ERROR_HANDLERS, answer
from moorage.http.server import Server
from moorage.http.unix import bind_unix
from moorage.wire.control import ReplicaReport
from moorage.worker.logs import follow, tail

CLOSE_GRACE_S = 1.0
MAX_TAIL_LINES = 100_000


class Api:
    """Construct → start → stop."""

    def __init__(
        self,
        path: Path,
        token: str,
        *,
        reports: Callable[[], tuple[ReplicaReport, ...]],
        ready: Callable[[], bool],
        log_of: Callable[[str], Path | None],
    ) -> None:
        self._path = path
        self._reports = reports
        self._ready = ready
        self._log_of = log_of
        self._stopping = asyncio.Event()
        routes = [
            Route("/health", self._health),
            Route("/ready", self._readiness),
            Route("/replicas", self._replicas),
            Route("/replicas/{replica:path}/log", self._log),
        ]
        app = Starlette(routes=routes, exception_handlers=ERROR_HANDLERS)
        self._app = _Guarded(app, token)
        self._server: Server | None = None

    async def start(self) -> None:
        """Raises ConfigError when the socket cannot be bound."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            listener = bind_unix(self._path)
        except OSError as error:
            raise ConfigError(f"the worker cannot listen on {str(self._path)!r}: {error}") from error
        self._server = Server(self._app, [listener])
        await self._server.start()

    async def stop(self) -> None:
        self._stopping.set()
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop(CLOSE_GRACE_S)
            self._path.unlink(missing_ok=True)

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _readiness(self, request: Request) -> Response:
        if self._ready():
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "the controller is away"}, status_code=503)

    async def _replicas(self, request: Request) -> Response:
        public = [replace(report, token="") for report in self._reports()]
        return Response(msgspec.json.encode({"replicas": public}), media_type="application/json")

    async def _log(self, request: Request) -> Response:
        name = request.path_params["replica"]
        path = self._log_of(name)
        if path is None:
            raise NotFound(f"no replica {name!r} on this worker; GET /replicas lists them")
        lines = _lines(request.query_params.get("tail", "100"))
        if request.query_params.get("follow", "false").lower() not in ("true", "1", "yes"):
            content, _ = await asyncio.to_thread(tail, path, lines)
            return Response(content, media_type="text/plain; charset=utf-8")
        return StreamingResponse(self._followed(path, lines), media_type="text/plain; charset=utf-8")

    async def _followed(self, path: Path, lines: int) -> AsyncIterator[bytes]:
        async with contextlib.aclosing(follow(path, lines, self._stopping)) as pieces:
            async for piece in pieces:
                yield piece


class _Guarded:
    """A bearer token before everything but /health."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/health" or keys.carries(scope["headers"], self._token):
            await self._app(scope, receive, send)
        else:
            error = NotAuthenticated("this API wants the worker's token as a bearer token")
            await answer(error)(scope, receive, send)


def _lines(value: str) -> int:
    if not value.isascii() or not value.isdigit() or int(value) > MAX_TAIL_LINES:
        raise BadRequest(f"tail={value!r} should be a number of lines from 0 to {MAX_TAIL_LINES}", param="tail")
    return int(value)
