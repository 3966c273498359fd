"""Small documents from a hub: JSON, tried again as downloads are, and never endless."""

from collections.abc import Callable
from typing import TypeVar

import aiohttp
import msgspec

from moorage.errors import ModelError
from moorage.models import web
from moorage.models.attempts import Attempts, Patience, Retry, exchange, refusal
from moorage.models.source import public

MAX_BYTES = 64 * 1024 * 1024
_MAX_PAGES = 1000

T = TypeVar("T")

Refused = Callable[[aiohttp.ClientResponse], Exception | None]


class Reader:
    """Reads from one hub for one repository. `refused` says what a refusing answer means there."""

    def __init__(self, session: aiohttp.ClientSession, patience: Patience, refused: Refused) -> None:
        self._session = session
        self._patience = patience
        self._refused = refused

    async def json(self, url: str, kind: type[T]) -> T:
        """Raises ModelError."""
        return (await self._read(url, kind))[0]

    async def pages(self, url: str, kind: type[list[T]]) -> list[T]:
        """All pages of a list, linked by the Link header. Raises ModelError."""
        found: list[T] = []
        for _ in range(_MAX_PAGES):
            page, following = await self._read(url, kind)
            found += page
            if not following:
                return found
            url = following
        raise ModelError(f"{public(url)} does not come to an end after {_MAX_PAGES} pages")

    def refusal(self, url: str, response: aiohttp.ClientResponse) -> Exception:
        return self._refused(response) or refusal(url, response)

    async def _read(self, url: str, kind: type[T]) -> tuple[T, str]:
        """The document, and the address of the next page."""
        attempts = Attempts(url, self._patience)
        while True:
            try:
                with exchange(url, self._patience):
                    async with await web.get(self._session, url, {}) as response:
                        if response.status != 200:
                            raise self.refusal(url, response)
                        body = await _body(response, url)
                        return self._decoded(body, url, kind), _next_page(response)
            except Retry as error:
                await attempts.failed(error)

    def _decoded(self, body: bytes, url: str, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            page = " (it looks like a web page)" if body.lstrip()[:1] == b"<" else ""
            raise ModelError(f"{public(url)} does not answer as a model hub does{page}: {error}") from error


def _next_page(response: aiohttp.ClientResponse) -> str:
    link = response.links.get("next")
    return "" if link is None else str(link.get("url") or "")


async def _body(response: aiohttp.ClientResponse, url: str) -> bytes:
    body = bytearray()
    while block := await response.content.readany():
        body += block
        if len(body) > MAX_BYTES:
            raise ModelError(f"{public(url)} answers with more than {MAX_BYTES} bytes; that is no list of files")
    return bytes(body)
