"""How the fake engine hands over a reply: properly framed, or struck by the call's faults."""

import os
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import NoReturn, Protocol

from moorage.testing.connection import Connection, Request
from moorage.testing.faults import END, Fault, Plan
from moorage.testing.record import Call
from moorage.testing.replies import encode
from moorage.wire import sse

GARBAGE = b"\x00\xff\x16\x03\x01 this is not HTTP \xfe\x00\r\n\r\n"
HUGE_BYTES = 16 * 1024 * 1024


class FaultStruck(Exception):
    """A fault ended the call; the connection is as the fault left it."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.kind)
        self.fault = fault


class Reply(Protocol):
    """What is said to one call that takes time: its tokens, and how they look as a stream and as a body."""

    n: int
    """How often it says them."""
    tokens: list[str]
    stream: bool
    wants_usage: bool
    usage_always: bool

    @property
    def content_type(self) -> str: ...

    def opening(self) -> Iterable[bytes]: ...
    def token(self, at: int) -> Iterable[bytes]: ...
    def closing(self) -> Iterable[bytes]: ...
    def whole(self) -> bytes: ...


class Delivery:
    """The reply to one call."""

    def __init__(self, connection: Connection, request: Request, call: Call, plan: Plan, *, may_exit: bool) -> None:
        self.connection = connection
        self.plan = plan
        self.answered = False
        self._request = request
        self._call = call
        self._may_exit = may_exit
        self._chunked = False

    async def begin(self) -> None:
        """The faults that need no reply of the engine's: refused, slow, struck before the headers, an error status."""
        if refuse := self.plan.get("refuse"):
            self.connection.reset()
            raise FaultStruck(refuse)
        if slow := self.plan.get("slow"):
            await self.connection.sleep(slow.s if slow.s is not None else 1.0)
        if status := self.plan.get("status"):
            await self.error(status.code or 500, "broken on demand", retry_after_s=status.s)

    async def error(
        self, status: int, message: str, *, code: str | None = None, retry_after_s: float | None = None
    ) -> None:
        kind = "invalid_request_error" if status < 500 else "server_error"
        body = encode({"error": {"message": message, "type": kind, "param": None, "code": code}})
        headers = [("Retry-After", f"{retry_after_s:g}")] if retry_after_s is not None else []
        self._head(status, "application/json", [("Content-Length", str(len(body))), *headers])
        await self._send(body)

    async def body(self, body: bytes, *, content_type: str = "application/json") -> None:
        """A unary reply in one piece."""
        await self._strike(None)
        if "error" in self.plan:
            await self.error(500, "broken on demand")
            return
        if "json" in self.plan:
            body = body[: len(body) // 2]
        self._head(200, content_type, [("Content-Length", str(len(body)))])
        await self._strike(0)
        await self._send(body[: len(body) // 2])
        await self._strike(END)
        await self._send(body[len(body) // 2 :])
        self._finish()

    async def whole(self, generation: Reply, next_token: Callable[[], Awaitable[None]]) -> None:
        """A generation as one body, after the time it takes."""
        await self._strike(None)
        for _ in generation.tokens:
            await next_token()
            self.connection.check()
        self._enlarge(generation)
        await self.body(generation.whole(), content_type=generation.content_type)

    async def stream(self, generation: Reply, next_token: Callable[[], Awaitable[None]]) -> None:
        """A generation as server-sent events, each token as it is made."""
        generation.usage_always = "usage" in self.plan
        generation.wants_usage = generation.wants_usage and "nousage" not in self.plan
        self._enlarge(generation)
        await self._strike(None)
        self._chunked = self._request.version != "1.0"
        framing = ("Transfer-Encoding", "chunked") if self._chunked else ("Connection", "close")
        self._head(200, "text/event-stream; charset=utf-8", [("Cache-Control", "no-cache"), framing])
        await self._strike(0)
        for position in range(len(generation.tokens)):
            await next_token()
            if position == 0:
                await self._events(generation.opening())
            await self._events(generation.token(position))
            await self._strike(position + 1)
            if await self._broken(position + 1):
                return
        await self._strike(END)
        if await self._broken(END):
            return
        if "undone" not in self.plan:
            await self._events([*generation.closing(), b"[DONE]"])
        await self._end_stream()

    async def _broken(self, position: float) -> bool:
        """The faults within a stream's events."""
        if (fault := self.plan.get("json")) and position == (fault.after or 1):
            await self._events([b'{"id": "broken", "choices": [{"delta"'])
        if (fault := self.plan.get("undone")) and fault.after == position:
            await self._end_stream()
            return True
        if (fault := self.plan.get("error")) and position >= (fault.after or 1):
            message = {"message": "broken on demand", "type": "InternalServerError", "param": None, "code": 500}
            await self._events([encode({"error": message}), b"[DONE]"])
            await self._end_stream()
            return True
        return False

    async def _events(self, payloads: Iterable[bytes]) -> None:
        for payload in payloads:
            event = sse.event(payload)
            if "comments" in self.plan:
                event = b": ping\n\n" + event + b"event: ping\n\n"
            if "crlf" in self.plan or "cr" in self.plan:
                event = event.replace(b"\n", b"\r\n" if "crlf" in self.plan else b"\r")
            await self._send(event)

    async def _end_stream(self) -> None:
        if self._chunked:
            self._chunked = False
            await self._send(b"0\r\n\r\n")
        self._finish()

    def _finish(self) -> None:
        if "close" in self.plan:
            self.connection.close()

    def _enlarge(self, generation: Reply) -> None:
        if fault := self.plan.get("huge"):
            generation.tokens = ["x" * (fault.size or HUGE_BYTES)]

    async def _send(self, data: bytes) -> None:
        """Send a piece of the body in the chunks the faults ask for."""
        drip = self.plan.get("drip")
        if drip:
            step = drip.size or 1
            for begin in range(0, len(data), step):
                await self.connection.send(self._framed(data[begin : begin + step]))
                await self.connection.sleep(drip.s if drip.s is not None else 0.001)
        elif "split" in self.plan:
            cut = next((at for at, byte in enumerate(data) if byte & 0xC0 == 0x80), len(data) // 2)
            await self.connection.send(self._framed(data[:cut]))
            await self.connection.sleep(0.001)
            await self.connection.send(self._framed(data[cut:]))
        else:
            await self.connection.send(self._framed(data))

    def _framed(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked and data else data

    def _head(self, status: int, content_type: str, headers: list[tuple[str, str]]) -> None:
        self.answered = True
        self._call.status = status
        if "type" in self.plan:
            content_type = "text/html"
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"Content-Type: {content_type}"]
        if "headers" in self.plan:
            lines += [f"content-type: {content_type}", "Content-Type: text/plain"]
        lines += [f"{name}: {value}" for name, value in headers]
        self.connection.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    async def _strike(self, position: float | None) -> None:
        for fault in self.plan.due(position):
            match fault.kind:
                case "stall":
                    await self.connection.sleep(fault.s)
                case "reset":
                    self._end(fault, self.connection.reset)
                case "garbage":
                    self.connection.write(GARBAGE)
                    self._end(fault, self.connection.close)
                case "exit" if self._may_exit:
                    os._exit(fault.code or 0)
                case _:
                    self._end(fault, self.connection.close)

    def _end(self, fault: Fault, end: Callable[[], None]) -> NoReturn:
        end()
        raise FaultStruck(fault)
