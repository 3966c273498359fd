"""One HTTP/1.1 connection of the fake engine: reads requests properly, and writes whatever it is told to.

Built on a bare protocol because it must be able to do what a framework prevents.
"""

import asyncio
import os
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import httptools


class ClientGone(Exception):
    """The client closed its connection."""


@dataclass
class Request:
    method: str
    path: str
    query: str
    version: str
    keep_alive: bool
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")


@dataclass
class _Incoming:
    url: bytearray = field(default_factory=bytearray)
    headers: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    body: bytearray = field(default_factory=bytearray)


class Connection(asyncio.Protocol):
    """Answers one request after another by `serve(connection, request)`."""

    def __init__(self, serve: Callable[["Connection", Request], Awaitable[None]], open_ones: set["Connection"]) -> None:
        self._serve = serve
        self._open_ones = open_ones
        self._parser = httptools.HttpRequestParser(self)
        self._incoming = _Incoming()
        self._requests: deque[Request] = deque()
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._task: asyncio.Task[None] | None = None
        self.gone = asyncio.Event()
        """Set when the connection is lost."""
        self.on_gone: Callable[[], None] | None = None
        """Called once, at the moment the connection is lost during a call."""
        self.deaf = False
        """Go on working for a client that left, as engines do that do not look."""

    # What asyncio calls.
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._open_ones.add(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._open_ones.discard(self)
        self.gone.set()
        self._writable.set()
        if self.on_gone:
            self.on_gone()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # What httptools calls.
    def on_message_begin(self) -> None:
        self._incoming = _Incoming()

    def on_url(self, url: bytes) -> None:
        self._incoming.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._incoming.headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        expects = any(name.lower() == "expect" for name, _ in self._incoming.headers)
        if expects:
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._incoming.body += body

    def on_message_complete(self) -> None:
        incoming = self._incoming
        url = urlsplit(incoming.url.decode("latin-1"))
        request = Request(
            self._parser.get_method().decode(),
            unquote(url.path),
            url.query,
            self._parser.get_http_version(),
            self._parser.should_keep_alive(),
            incoming.headers,
            bytes(incoming.body),
        )
        self._requests.append(request)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while self._requests and not self.gone.is_set():
            request = self._requests.popleft()
            await self._serve(self, request)
            if not request.keep_alive:
                self.close()

    # What the engine calls.
    def write(self, data: bytes) -> None:
        if self._transport and not self.gone.is_set():
            self._transport.write(data)

    async def send(self, data: bytes) -> None:
        """Write and wait until the client has taken most of it. Raises ClientGone, unless deaf."""
        self.write(data)
        if not self._writable.is_set():
            await self._writable.wait()
        self.check()

    async def sleep(self, seconds: float | None) -> None:
        """Wait, for ever with None. Raises ClientGone as soon as the client leaves, unless deaf."""
        waiting = asyncio.Event().wait() if self.deaf else self.gone.wait()
        try:
            await asyncio.wait_for(waiting, seconds)
        except TimeoutError:
            return
        self.check()

    def check(self) -> None:
        if self.gone.is_set() and not self.deaf:
            raise ClientGone

    def close(self) -> None:
        """Say goodbye properly: everything written arrives, then FIN."""
        if self._transport:
            self._transport.close()

    def reset(self) -> None:
        """Send RST. A Unix socket has none: there the peer sees the end, or a reset if it had more to say."""
        if self._transport is None or self.gone.is_set():
            return
        raw = self._transport.get_extra_info("socket")
        if raw.family != socket.AF_UNIX:
            with socket.socket(fileno=os.dup(raw.fileno())) as duplicate:
                duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    async def stop(self) -> None:
        """Drop the connection and whatever is being served on it."""
        if self._transport:
            self._transport.abort()
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
