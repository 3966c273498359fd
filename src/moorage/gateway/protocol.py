"""uvicorn's httptools protocol with deadlines and limits for what clients send, and our errors for what they break.

One request at a time: what comes behind one that is not answered yet is not read, and the connection closes after the
answer (RFC 9112, 9.3.2, lets the client send it again). So a bad request behind a good one spoils nothing, and a client
that leaves is always seen.
"""

import asyncio
import http
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from moorage.errors import BadRequest, HeadersTooLarge, MethodNotAllowed, MoorageError, RequestTimeout
from moorage.gateway.exchange import CONNECTION, new_id

UNREAD_S = 10.0
"""How long a client may take to read the last of a reply before its connection is dropped."""
LINGER_S = 2.0
"""How long a client that was refused may go on sending, to read why."""
BODY_BYTES_PER_S = 16 * 1024
"""A body that comes at least so fast may take longer than the body timeout: a large upload over a thin line."""
_HOP = frozenset({b"upgrade", b"http2-settings"})


@dataclass(frozen=True)
class Limits:
    """What a connection may take. Times in seconds."""

    header_timeout_s: float = 10.0
    """From a connection's start, or a request's first byte, to the end of its headers (server.header_timeout)."""
    body_timeout_s: float = 60.0
    """Longest silence within a body, and from the headers' end to the body's besides the time that its bytes take at
    BODY_BYTES_PER_S (server.body_timeout)."""
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
        self._fruitless_bytes = 0
        """Bytes since anything came of them: the parser keeps an unfinished header, however long, to itself."""
        self._body_bytes = 0
        self._body_began = self._body_heard = 0.0
        """When the headers ended, and when the last of the body came, in the loop's time."""
        self._silent = True
        """The client has never said a word."""
        self._refused = False
        """Nothing more is read from this client."""
        self._lost: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._reading = "headers"
        self._arm(self.limits.header_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)
        if self._lost is not None:
            self._lost()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        before = self._reading
        self._silent = False
        self._unset_keepalive_if_required()
        self._fruitless_bytes += len(data)
        self._feed(data)
        if self._fruitless_bytes > self.limits.header_bytes:
            self._refuse_headers()
        if self._refused or (self._reading == before and self._timer is not None):
            return
        self._disarm()
        if self._reading == "headers":
            self._arm(self.limits.header_timeout_s)
        elif self._reading == "body":
            self._arm(self.limits.body_timeout_s)

    def on_message_begin(self) -> None:
        if self._unanswered:
            self._close_behind()
        if self._refused:
            return
        super().on_message_begin()
        self._reading = "headers"
        self._header_bytes = self._fruitless_bytes = 0
        self.scope["extensions"] = {CONNECTION: {"connection": self}}

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        if not self._refused:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        # Behind the body it would be a trailer: those say nothing here, and must not pass for headers.
        if not self._refused and self._reading == "headers":
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._fruitless_bytes = 0
        if not self._refused and not self.parser.should_upgrade():
            super().on_headers_complete()
            self._reading = "body"
            self._body_bytes = 0
            self._body_began = self._body_heard = self.loop.time()

    def on_body(self, body: bytes) -> None:
        self._fruitless_bytes = 0
        self._body_bytes += len(body)
        self._body_heard = self.loop.time()
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._fruitless_bytes = 0
        if not self._refused and not self.parser.should_upgrade():
            self._reading = ""
            super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._reading == "body" and not self._refused:
            # Answered before it was whole: what still comes is read for a while, so that the answer is read.
            self._disarm()
            self._arm(self.limits.body_timeout_s)
        if self.transport.is_closing() and self.transport.get_write_buffer_size():
            self.loop.call_later(UNREAD_S, self.transport.abort)

    def timeout_keep_alive_handler(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        super().timeout_keep_alive_handler()

    def watch(self, lost: Callable[[], None] | None) -> None:
        self._lost = lost
        if lost is not None:
            # A client that goes is only seen while its connection is read from: a large body may have paused that.
            self.flow.resume_reading()
            if self.transport.is_closing():
                self.loop.call_soon(lost)

    def abort(self) -> None:
        self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        self._refuse(BadRequest("this is not a valid HTTP/1.1 request"))

    @property
    def _unanswered(self) -> bool:
        """A request stands here whose answer is not out yet."""
        # uvicorn declares `cycle` as always there; before the first request it is None.
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is not None and not cycle.response_complete

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if not self._refused:
                self._decline_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self.send_400_response("")

    def _decline_upgrade(self, rest: bytes) -> None:
        """Take the request for what it is without its offer to speak another protocol, which we need not accept.

        The parser stops reading HTTP at such an offer: Java's client makes one (h2c) with every POST, and its body
        would be taken for the next request.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse(MethodNotAllowed("CONNECT is not possible: this is no proxy"))
            return
        kept = [(name, _without_upgrade(name, value)) for name, value in self.headers if name not in _HOP]
        lines = b"".join(b"%s: %s\r\n" % (name, value) for name, value in kept if value or name != b"connection")
        version = self.parser.get_http_version().encode()
        self.parser = httptools.HttpRequestParser(self)
        self._feed(b"%s %s HTTP/%s\r\n%s\r\n%s" % (method, self.url, version, lines, rest))

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > self.limits.header_bytes and not self._refused:
            self._refuse_headers()

    def _refuse_headers(self) -> None:
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
        if self._silent:
            self.transport.close()
            return
        if self._reading == "headers":
            limit_s = self.limits.header_timeout_s
            self._refuse(RequestTimeout(f"the headers did not arrive within {limit_s:g} s (server.header_timeout)"))
            return
        left_s, problem = self._patience()
        if left_s > 0:
            self._arm(left_s)
        else:
            self._refuse(RequestTimeout(problem))

    def _patience(self) -> tuple[float, str]:
        """How long the rest of a body is still waited for, and what to say then."""
        limit_s, now = self.limits.body_timeout_s, self.loop.time()
        if self.cycle.response_complete:
            return 0.0, ""
        if self.flow.read_paused:
            return limit_s, ""  # it is we who do not read
        silence_s = self._body_heard + limit_s - now
        whole_s = self._body_began + limit_s + self._body_bytes / BODY_BYTES_PER_S - now
        if silence_s < whole_s:
            return silence_s, f"nothing more of the body arrived for {limit_s:g} s (server.body_timeout)"
        return whole_s, (
            f"the body did not arrive within {limit_s:g} s and the time it takes at {BODY_BYTES_PER_S // 1024} KiB/s "
            "(server.body_timeout)"
        )

    def _refuse(self, error: MoorageError) -> None:
        """Answer outside of ASGI and close: the request never became one, or will never be whole."""
        if self._refused:
            return
        if self._unanswered and self._reading != "body":
            self._close_behind()
            return
        self._refused = True
        self._disarm()
        if self.transport.is_closing():
            return
        if self._reading == "body":
            if self.cycle.response_started:
                self.transport.close()
                return
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.write(_answer(error))
        # Closed at once, what it still sends would be answered by a reset, which can take the answer with it.
        self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)

    def _close_behind(self) -> None:
        """Read no more: answer the request that stands here, then close."""
        self._refused = True
        self._disarm()
        self.cycle.keep_alive = False


def _without_upgrade(name: bytes, value: bytes) -> bytes:
    if name != b"connection":
        return value
    return b", ".join(token for token in value.split(b",") if token.strip().lower() not in _HOP)


def _answer(error: MoorageError) -> bytes:
    body = msgspec.json.encode(error.openai())
    return (
        b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nx-request-id: %s\r\n"
        b"connection: close\r\n\r\n%s"
        % (error.status, http.HTTPStatus(error.status).phrase.encode(), len(body), new_id().encode(), body)
    )


def bounded(limits: Limits) -> type[Protocol]:
    """The protocol class with these limits."""
    return type("BoundedProtocol", (Protocol,), {"limits": limits})
