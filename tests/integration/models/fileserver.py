"""A web server of files that misbehaves as asked: real sockets, one plan per request."""

import asyncio
import hashlib
import re
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How one request is answered."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])
    ranges: bool = True
    heeds_if_range: bool = True
    etag: bool = True
    length: bool = True
    """Announce a Content-Length; without, the body is chunked."""
    lie_bytes: int = 0
    """Added to the announced length."""
    cut_after: int | None = None
    """Reset the connection after so many bytes of the body."""
    stall_after: int | None = None
    """Then say nothing more."""
    piece: int = 64 * 1024
    pause_s: float = 0.0
    """Between pieces."""


@dataclass
class Seen:
    """A request, and how many bytes of its body went out."""

    path: str
    headers: dict[str, str]
    query: str = ""
    method: str = "GET"
    sent: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the connection is over."""


class FileServer:
    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.plans: list[Plan] = []
        """For the next requests, in turn; then `plan` for all others."""
        self.plan = Plan()
        self.faults: dict[str, list[Plan]] = {}
        """For the next requests of one path, before all other plans."""
        self.answer: Callable[[Seen], tuple[Plan, bytes]] | None = None
        """Answers what no fault is planned for and no file is there for."""
        self.seen: list[Seen] = []
        self.login = ""
        """Authorization header that is demanded, if any."""
        self.port = 0
        self.scheme = "http"

    def url(self, path: str) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"

    @property
    def sent(self) -> int:
        return sum(seen.sent for seen in self.seen)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen: Seen | None = None
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            method, target, _ = first.split()
            path, _, query = target.partition("?")
            seen = Seen(path, headers, query, method)
            self.seen.append(seen)
            await self._answer(seen, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            if seen:
                seen.left.set()
            writer.close()

    async def _answer(self, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        content = self.files.get(seen.path)
        if planned := self.faults.get(seen.path):
            plan = planned.pop(0)
        elif self.answer is not None and content is None:
            plan, content = self.answer(seen)
        else:
            plan = self.plans.pop(0) if self.plans else self.plan
        if self.login and seen.headers.get("authorization") != self.login:
            plan = Plan(status=401, headers={"WWW-Authenticate": 'Basic realm="files"'})
        elif content is None and plan.status == 200:
            plan = Plan(status=404)
        if plan.status != 200 or content is None:
            lines = "".join(f"{name}: {value}\r\n" for name, value in plan.headers.items())
            reply = f"HTTP/1.1 {plan.status} Said\r\n{lines}Content-Length: 0\r\nConnection: close\r\n\r\n"
            writer.write(reply.encode())
            await writer.drain()
            return
        await self._send(seen, plan, content, reader, writer)

    async def _send(
        self, seen: Seen, plan: Plan, content: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        etag = f'"{hashlib.md5(content).hexdigest()}"'
        status, body, headers = "200 OK", content, dict(plan.headers)
        if plan.etag:
            headers["ETag"] = etag
        wanted = re.fullmatch(r"bytes=(\d+)-", seen.headers.get("range", ""))
        same = not plan.heeds_if_range or seen.headers.get("if-range", etag) == etag
        if wanted and plan.ranges and same:
            start = int(wanted[1])
            if start >= len(content):
                writer.write(
                    f"HTTP/1.1 416 No\r\nContent-Range: bytes */{len(content)}\r\n"
                    "Content-Length: 0\r\nConnection: close\r\n\r\n".encode()
                )
                return
            status, body = "206 Partial Content", content[start:]
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        if plan.length:
            headers["Content-Length"] = str(len(body) + plan.lie_bytes)
        else:
            headers["Transfer-Encoding"] = "chunked"
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"HTTP/1.1 {status}\r\n{lines}Connection: close\r\n\r\n".encode())
        if seen.method == "HEAD":
            await writer.drain()
            return
        gone = asyncio.ensure_future(reader.read())
        try:
            await self._pieces(seen, plan, body, writer, gone)
        finally:
            gone.cancel()

    async def _pieces(
        self, seen: Seen, plan: Plan, body: bytes, writer: asyncio.StreamWriter, gone: "asyncio.Future[bytes]"
    ) -> None:
        stop = next((at for at in (plan.cut_after, plan.stall_after) if at is not None), len(body))
        for start in range(0, min(stop, len(body)), plan.piece):
            piece = body[start : min(start + plan.piece, stop)]
            writer.write(piece if plan.length else f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            await writer.drain()
            seen.sent += len(piece)
            if plan.pause_s:
                await asyncio.wait([gone], timeout=plan.pause_s)
            if gone.done():
                return
        if plan.stall_after is not None:
            await gone
        elif plan.cut_after is not None:
            # What was sent should arrive before the break, or it could not be resumed from.
            await asyncio.sleep(0.05)
            writer.transport.abort()
        elif not plan.length:
            writer.write(b"0\r\n\r\n")
            await writer.drain()


@asynccontextmanager
async def serving(context: ssl.SSLContext | None = None) -> AsyncGenerator[FileServer]:
    files = FileServer()
    server = await asyncio.start_server(files.handle, "127.0.0.1", 0, ssl=context)
    files.port = server.sockets[0].getsockname()[1]
    files.scheme = "https" if context else "http"
    try:
        yield files
    finally:
        server.close()
        for seen in files.seen:
            async with asyncio.timeout(10):
                await seen.left.wait()
