"""uvicorn's httptools protocol with deadlines and limits for what clients send, and our errors for what they break."""

import asyncio
from dataclasses import dataclass
from typing import Any, cast

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from moorage.errors import BadRequest, HeadersTooLarge, MoorageError, RequestTimeout
from moorage.gateway.exchange import ABORT


@dataclass(frozen=True)
class Limits:
    """What a connection may take. Times in seconds."""

    header_timeout_s: float = 10.0
    """From a connection's start, or a request's first byte, to the end of its headers (server.header_timeout)."""
    body_timeout_s: float = 60.0
    """From the end of the headers to the end of the body (server.body_timeout)."""
    header_bytes: int = 64 * 1024
    """Request line and headers together (server.max_header_size)."""


class Protocol(HttpToolsProtocol):
    """One client connection. Timers exist only while a request is incomplete, so a whole one costs none."""

    limits = Limits()
    """Set on a subclass by `bounded`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        self._reading = ""
        """What is being waited for: "headers", "body", or nothing."""
        self._header_bytes = 0
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._reading = "headers"
        self._arm(self.limits.header_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        before = self._reading
        super().data_received(data)
        if self._reading == before and self._timer is not None:
            return
        self._disarm()
        if self._reading == "headers":
            self._arm(self.limits.header_timeout_s)
        elif self._reading == "body":
            self._arm(self.limits.body_timeout_s)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._reading = "headers"
        self._header_bytes = 0
        self.scope["extensions"] = {ABORT: {"abort": self.transport.abort}}

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._reading = "body"
        if not self._refused:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._reading = ""
        if not self._refused:
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(BadRequest("this is not a valid HTTP/1.1 request"))

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > self.limits.header_bytes and not self._refused:
            limit = self.limits.header_bytes
            self._refuse(HeadersTooLarge(f"the request's headers exceed {limit} bytes (server.max_header_size)"))

    def _arm(self, after_s: float) -> None:
        self._timer = self.loop.call_later(after_s, self._expire)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        limit_s = self.limits.header_timeout_s if self._reading == "headers" else self.limits.body_timeout_s
        setting = "server.header_timeout" if self._reading == "headers" else "server.body_timeout"
        self._refuse(RequestTimeout(f"the request's {self._reading} did not arrive within {limit_s:g} s ({setting})"))

    def _refuse(self, error: MoorageError) -> None:
        """Answer outside of ASGI and close: the request never became one, or will never be whole."""
        self._refused = True
        self._disarm()
        if self.transport.is_closing():
            return
        # uvicorn declares `cycle` as always there; before the first request it is None.
        cycle = cast("RequestResponseCycle | None", self.cycle)
        answering = cycle is not None and cycle.response_started and not cycle.response_complete
        if not answering and (self._header_bytes or self._reading == "body"):
            body = msgspec.json.encode(error.openai())
            self.transport.write(
                b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"
                % (error.status, error.error_code.encode(), len(body), body)
            )
        self.transport.close()


def bounded(limits: Limits) -> type[Protocol]:
    """The protocol class with these limits."""
    return type("BoundedProtocol", (Protocol,), {"limits": limits})
