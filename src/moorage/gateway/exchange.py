"""One HTTP exchange with a client: its body in, our reply out, and whether the client is still there."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Iterable
from types import TracebackType
from typing import Protocol

import msgspec
from starlette.types import Receive, Scope, Send

from moorage.errors import BadRequest, MoorageError, TooLarge
from moorage.wire import sse

Headers = Iterable[tuple[bytes, bytes]]

JSON = b"application/json"
EVENT_STREAM = b"text/event-stream; charset=utf-8"

UNBUFFERED = ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))
"""Asks caches and proxies on the way to pass a stream on as it comes."""

LAST_WORD_S = 5.0
"""How long a client may take to read the error that ends its stream."""
CONNECTION = "moorage.connection"
"""The ASGI extension by which our listener hands its connection to the exchange."""

_encode = msgspec.json.Encoder().encode


def new_id() -> str:
    """A request's id, as clients see it."""
    return "req_" + secrets.token_hex(12)


class Connection(Protocol):
    """What an exchange needs of the connection below it."""

    def watch(self, lost: Callable[[], None] | None) -> None:
        """Have `lost` called when the client goes, soon if it is gone already; None ends the watch."""
        ...

    def abort(self) -> None: ...


class ClientLeft(Exception):
    """The client closed its connection; there is nobody left to answer."""


class Exchange:
    """Reads a request and writes its reply; every reply carries `x-request-id`."""

    __slots__ = ("_receive", "_send", "id", "left", "scope", "started", "status", "streaming")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.id = new_id()
        self.status = 0
        self.started = False
        """The reply's headers are out: from here on an error can only be said inside the stream."""
        self.streaming = False
        self.left = False
        self._receive = receive
        self._send = send

    @property
    def headers(self) -> Headers:
        return self.scope["headers"]

    def header(self, name: bytes) -> str | None:
        for key, value in self.scope["headers"]:
            if key == name:
                return value.decode("latin-1")
        return None

    async def read(self, limit_bytes: int) -> bytes:
        """The whole body. Raises TooLarge beyond the limit, ClientLeft when the client goes before it is complete."""
        self.expect(limit_bytes, "server.max_request_size")
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            body = message.get("body", b"")
            if len(body) > limit_bytes:
                raise too_large(limit_bytes, "server.max_request_size")
            return body
        pieces = bytearray()
        while message["type"] == "http.request":
            pieces += message.get("body", b"")
            if len(pieces) > limit_bytes:
                raise too_large(limit_bytes, "server.max_request_size")
            if not message.get("more_body"):
                return bytes(pieces)
            message = await self._receive()
        self.left = True
        raise ClientLeft

    def expect(self, limit_bytes: int, setting: str) -> None:
        """Refuse a body by what its headers say: one that is announced as too large, or comes compressed."""
        declared = self.header(b"content-length")
        if declared is not None and declared.isdigit() and int(declared) > limit_bytes:
            raise too_large(limit_bytes, setting)
        if (self.header(b"content-encoding") or "identity").lower() != "identity":
            raise BadRequest("compressed request bodies are not accepted; send the body as it is")

    async def pieces(self, limit_bytes: int, setting: str) -> AsyncGenerator[bytes]:
        """The body as it comes. Raises what `read` raises."""
        self.expect(limit_bytes, setting)
        received = 0
        while (message := await self._receive())["type"] == "http.request":
            piece = message.get("body", b"")
            received += len(piece)
            if received > limit_bytes:
                raise too_large(limit_bytes, setting)
            yield piece
            if not message.get("more_body"):
                return
        self.left = True
        raise ClientLeft

    def connected(self) -> "Connected":
        """Cancel the block when the client leaves, and raise ClientLeft. To be entered after the body was read."""
        return Connected(self)

    async def respond(
        self, body: bytes, *, status: int = 200, content_type: bytes = JSON, headers: Headers = ()
    ) -> None:
        """A whole reply in one go."""
        await self._start(status, content_type, ((b"content-length", b"%d" % len(body)), *headers))
        await self._send({"type": "http.response.body", "body": body})

    async def stream(self, *, status: int = 200, content_type: bytes = EVENT_STREAM, headers: Headers = ()) -> None:
        """Begin a streamed reply."""
        self.streaming = True
        await self._start(status, content_type, (*UNBUFFERED, *headers))

    async def _start(self, status: int, content_type: bytes, headers: Headers) -> None:
        self.started = True
        self.status = status
        sent = [(b"content-type", content_type), (b"x-request-id", self.id.encode()), *headers]
        await self._send({"type": "http.response.start", "status": status, "headers": sent})

    async def write(self, chunk: bytes) -> None:
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def end(self, last: bytes = b"") -> None:
        await self._send({"type": "http.response.body", "body": last})

    async def fail(self, error: MoorageError) -> None:
        """Say an error: as a reply, or as the event that ends a stream already begun (never as a clean end)."""
        body = _encode(error.openai())
        if self.streaming:
            try:
                async with asyncio.timeout(LAST_WORD_S):
                    await self.end(sse.event(body))
            except TimeoutError:
                self.abort()
        elif not self.started:
            await self.respond(body, status=error.status, headers=_headers(error))

    @property
    def connection(self) -> Connection:
        return self.scope["extensions"][CONNECTION]["connection"]

    def abort(self) -> None:
        """Drop the connection of a client that does not read."""
        self.connection.abort()


class Connected:
    """The block of `Exchange.connected`. A task that waits for the disconnect would cost a call as much as its JSON."""

    __slots__ = ("_exchange", "_task")

    def __init__(self, exchange: Exchange) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._exchange = exchange
        self._task = task

    async def __aenter__(self) -> None:
        self._exchange.connection.watch(self._leave)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exchange.connection.watch(None)
        if self._exchange.left and kind is asyncio.CancelledError and self._task.uncancel() == 0:
            raise ClientLeft from None

    def _leave(self) -> None:
        self._exchange.left = True
        self._task.cancel()


def _headers(error: MoorageError) -> Headers:
    return [(name.encode(), value.encode()) for name, value in error.headers().items()]


def too_large(limit_bytes: int, setting: str) -> TooLarge:
    return TooLarge(f"the request body is larger than {limit_bytes} bytes ({setting})")
