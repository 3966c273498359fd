"""The API for people and their tools: `/openapi.json`, and two pages that show it and ask nobody else for anything.

All of it is open: it tells what the source tells, and the names of models, which `/health` tells too.
"""

import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import cast

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from moorage.errors import NotFound
from moorage.gateway.table import Table
from moorage.wire.names import Task

FOLDER = Path(__file__).parent / "ui"
HTML, SCRIPT, STYLE = "text/html; charset=utf-8", "text/javascript; charset=utf-8", "text/css; charset=utf-8"

ASSETS = {
    "docs.js": SCRIPT,
    "oauth2-redirect.js": SCRIPT,
    "oauth2.js": SCRIPT,
    "redoc.js": SCRIPT,
    "redoc.standalone.js": SCRIPT,
    "swagger-ui-bundle.js": SCRIPT,
    "page.css": STYLE,
    "swagger-ui.css": STYLE,
    "favicon.png": "image/png",
}

_STYLES = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' 'sha256-QMIg+bpjm3JdElJ388KYke01izlUW0UoNOeKjpMxdgc='"
"""Redoc's two style elements: an empty one that it fills by script, and one for scroll bars."""

HEADERS = {
    "content-security-policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            f"style-src 'self' {_STYLES}",
            "img-src 'self' data:",
            "connect-src 'self'",
            "worker-src blob:",  # Redoc's search
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    # A new version is seen at once; what did not change is not sent again.
    "cache-control": "no-cache",
    "vary": "accept-encoding",
}


@dataclass(frozen=True)
class Content:
    body: bytes
    etag: str
    """Of the content; the compressed form has one of its own."""
    compressed: bool = False


class Pages:
    """Plain functions as handlers: Starlette calls them in a thread, so that no stream waits for a disk."""

    def __init__(self, table: Callable[[], Table]) -> None:
        self._table = table

    def routes(self) -> list[Route]:
        return [
            Route("/openapi.json", self._document),
            Route("/docs", self._page("docs.html")),
            Route("/docs/oauth2-redirect", self._page("oauth2-redirect.html")),
            Route("/docs/assets/{name}", self._asset),
            Route("/redoc", self._page("redoc.html")),
        ]

    def _document(self, request: Request) -> Response:
        snapshot = self._table().snapshot
        models = {row.task: row.id for row in reversed(snapshot.models.values()) if row.task and not row.parent}
        return answer(
            request, encoded(tuple(sorted(models.items())), not snapshot.settings.anonymous), "application/json"
        )

    def _page(self, name: str) -> Callable[[Request], Response]:
        def page(request: Request) -> Response:
            return answer(request, content(name), HTML)

        return page

    def _asset(self, request: Request) -> Response:
        name = cast("str", request.path_params["name"])
        if name not in ASSETS:
            raise NotFound(f"there is no {name!r} here; there are {', '.join(sorted(ASSETS))}")
        return answer(request, content(name), ASSETS[name])


@lru_cache(maxsize=8)
def encoded(models: tuple[tuple[Task, str], ...], keys: bool) -> Content:
    """The document, compressed. Made when it is asked for, and imported then: few gateways are ever asked."""
    from moorage.gateway.openapi.document import document

    body = gzip.compress(msgspec.json.encode(document(dict(models), keys=keys)), mtime=0)
    return Content(body, _etag(body), compressed=True)


def content(name: str) -> Content:
    """A file of the pages."""
    packed = FOLDER / f"{name}.gz"
    compressed = packed.is_file()
    body = (packed if compressed else FOLDER / name).read_bytes()
    return Content(body, _etag(body), compressed)


def answer(request: Request, given: Content, media_type: str) -> Response:
    """As it is kept, or unpacked for who cannot; 304 for who has it."""
    packed = given.compressed and _takes_gzip(request.headers.get("accept-encoding", ""))
    etag = f'"{given.etag}-gzip"' if packed else f'"{given.etag}"'
    headers = HEADERS | {"etag": etag} | ({"content-encoding": "gzip"} if packed else {})
    if _has(request.headers.get("if-none-match", ""), etag):
        del headers["content-security-policy"]
        return Response(status_code=304, headers=headers)
    body = gzip.decompress(given.body) if given.compressed and not packed else given.body
    return Response(body, headers=headers, media_type=media_type)


def _etag(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:32]


def _takes_gzip(accepted: str) -> bool:
    for entry in accepted.lower().split(","):
        coding, _, weight = entry.replace(" ", "").partition(";q=")
        if coding in ("gzip", "*"):
            return not weight or weight.strip("0.") != ""
    return False


def _has(known: str, etag: str) -> bool:
    return known.strip() == "*" or etag in (each.strip().removeprefix("W/") for each in known.split(","))
