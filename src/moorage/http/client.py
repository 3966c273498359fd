"""The client that speaks to engines, workers and controllers: HTTP/1.1 to `unix:/path` or `http://host:port`.

One connection pool per address. Admission is the caller's: the pool has no limit of its own.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from io import BytesIO
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from moorage.errors import DeadlineExceeded, UpstreamBroken, UpstreamUnreachable
from moorage.http.connector import TcpConnector, UnixConnector
from moorage.http.upload import Sending, Upload

READ_BYTES = 256 * 1024
URLS_KEPT = 1024
PIECE_BYTES = 1024 * 1024


class Reply:
    """An answer whose headers have arrived; the body is read on demand."""

    def __init__(self, response: aiohttp.ClientResponse, name: str) -> None:
        self._response = response
        self._name = name
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "")

    async def read(self) -> bytes:
        """The whole body. Raises UpstreamBroken when it ends early."""
        try:
            return await self._response.read()
        except (aiohttp.ClientError, ConnectionError) as error:
            raise UpstreamBroken(f"{self._name} broke off its reply: {_text(error)}") from error

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises UpstreamBroken when it ends before its time."""
        content = self._response.content
        try:
            while chunk := await content.readany():
                yield chunk
        except (aiohttp.ClientError, ConnectionError) as error:
            raise UpstreamBroken(f"{self._name} broke off its reply: {_text(error)}") from error


class Client:
    """Construct → use → close. Safe for any number of calls at once on one event loop."""

    def __init__(self, *, connect_timeout_s: float = 5.0) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._sessions: dict[str, tuple[aiohttp.ClientSession, str]] = {}
        """Address → its pool, and what stands before a path."""
        self._timeouts: dict[tuple[float | None, float], aiohttp.ClientTimeout] = {}
        self._urls: dict[tuple[str, str], URL] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def call(
        self,
        address: str,
        method: str,
        path: str,
        *,
        body: bytes | Upload | None = None,
        token: str = "",
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        connect_timeout_s: float | None = None,
        name: str = "",
    ) -> "PendingReply":
        """One call, as a context. Leaving it early closes the connection, which tells the other side to stop.

        `path` goes out byte for byte, percent-encoded by the caller. `body` is JSON unless `headers` says otherwise; an
        upload is read while it is sent. Errors call the other side `name`, where its address is nothing for those who
        read them.
        `timeout_s` bounds the whole call; deadlines of phases are the caller's.
        Raises UpstreamUnreachable (nothing was sent), UpstreamBroken, DeadlineExceeded.
        """
        send: dict[str, str] = dict(headers or {})
        if token:
            send["Authorization"] = f"Bearer {token}"
        session, base = self._session(address)
        timeout = self._timeout(timeout_s, connect_timeout_s or self._connect_timeout_s)
        data = _data(body, send)
        request = session.request(
            method, self._url(base, path), data=data, headers=send, timeout=timeout, allow_redirects=False
        )
        sending = data if isinstance(data, Sending) else None
        return PendingReply(request, name or address, f"{method} {path}", timeout_s, sending)

    async def close(self) -> None:
        sessions, self._sessions = list(self._sessions.values()), {}
        await asyncio.gather(*(session.close() for session, _ in sessions))

    async def forget(self, address: str) -> None:
        """Close the pool of an address that will not be used again."""
        if known := self._sessions.pop(address, None):
            await known[0].close()

    def _timeout(self, total_s: float | None, connect_s: float) -> aiohttp.ClientTimeout:
        known = self._timeouts.get((total_s, connect_s))
        if known is None:
            known = aiohttp.ClientTimeout(total=total_s, sock_connect=connect_s, sock_read=None)
            self._timeouts[(total_s, connect_s)] = known
        return known

    def _url(self, base: str, path: str) -> URL:
        """Parsing a URL costs as much as sending a small request: those of engines are few and kept."""
        url = self._urls.get((base, path))
        if url is None:
            if len(self._urls) >= URLS_KEPT:
                self._urls.clear()
            url = self._urls[(base, path)] = URL(base + path, encoded=True)
        return url

    def _session(self, address: str) -> tuple[aiohttp.ClientSession, str]:
        if known := self._sessions.get(address):
            return known
        if address.startswith("unix:"):
            base = "http://moorage"
            connector = UnixConnector(address.removeprefix("unix:"), limit=0)
        else:
            try:
                base = str(URL(address)).rstrip("/")
            except ValueError as error:
                raise UpstreamUnreachable(f"{address!r} is not an address: {error}") from error
            connector = TcpConnector(limit=0, ttl_dns_cache=60)
        session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=READ_BYTES,
            skip_auto_headers=("User-Agent", "Accept-Encoding"),
        )
        self._sessions[address] = session, base
        return session, base


class PendingReply:
    """One call under way; entered, it is the reply whose headers have arrived."""

    __slots__ = ("_name", "_request", "_response", "_sending", "_timeout_s", "_what")

    def __init__(
        self,
        request: Awaitable[aiohttp.ClientResponse],
        name: str,
        what: str,
        timeout_s: float | None,
        sending: Sending | None,
    ) -> None:
        self._request = request
        self._sending = sending
        self._name = name
        self._what = what
        self._timeout_s = timeout_s
        self._response: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> Reply:
        try:
            response = self._response = await self._request
        except aiohttp.ClientConnectorError as error:
            raise UpstreamUnreachable(f"cannot connect to {self._name}: {_text(error)}") from error
        except TimeoutError as error:
            raise DeadlineExceeded(f"{self._name} did not answer {self._what} in time") from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise UpstreamBroken(f"{self._name} broke off before it answered: {_text(error)}") from error
        finally:
            if self._response is None and self._sending is not None:
                self._sending.close()
        return Reply(response, self._name)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sending is not None:
            self._sending.close()
        response = self._response
        if response is not None:
            if response.content.at_eof():
                response.release()
            else:
                response.close()
        if isinstance(error, TimeoutError) and self._timeout_s is not None:
            raise DeadlineExceeded(f"{self._name} did not finish {self._what} within {self._timeout_s:g} s") from error


def _data(body: bytes | Upload | None, headers: dict[str, str]) -> bytes | BytesIO | Sending | None:
    """The body as the library takes it; its headers are added."""
    if isinstance(body, Upload):
        headers["Content-Type"] = body.content_type
        headers["Content-Length"] = str(body.length_bytes)
        return Sending(body)
    if body is None:
        return None
    headers.setdefault("Content-Type", "application/json")
    # A large body goes out in pieces, so that other calls get their turn between them.
    return BytesIO(body) if len(body) > PIECE_BYTES else body


def _text(error: BaseException) -> str:
    """In a few words: what came, and the library's names for it, are nothing to show."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.strerror or str(error.os_error)
    if isinstance(error, aiohttp.ClientPayloadError):
        return "it ended before its time"
    if isinstance(error, aiohttp.ClientResponseError):
        return "what came is no HTTP"
    return str(error) or type(error).__name__
