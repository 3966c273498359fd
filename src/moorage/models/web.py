"""HTTP as a download needs it: certificates and proxies of the machine, safe redirects, headers read carefully."""

import os
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import aiohttp
import yarl

from moorage import __version__
from moorage.errors import ModelError
from moorage.models.disk import BLOCK_BYTES
from moorage.models.source import public

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 10


def session(
    *, connect_s: float, stall_s: float, endpoint: str = "", credentials: Mapping[str, str] | None = None
) -> aiohttp.ClientSession:
    """Proxies and .netrc come from the environment, certificates from where other Python clients look for them.

    `credentials` are headers that every request to the endpoint's own scheme, host and port carries, and no other.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=tls_context()),
        timeout=aiohttp.ClientTimeout(total=None, connect=connect_s, sock_connect=connect_s, sock_read=stall_s),
        trust_env=True,
        auto_decompress=False,
        read_bufsize=BLOCK_BYTES,
        middlewares=(_showing(endpoint, credentials),) if credentials else (),
        headers={"User-Agent": f"moorage/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"},
    )


def _showing(endpoint: str, credentials: Mapping[str, str]) -> aiohttp.ClientMiddlewareType:
    origin = yarl.URL(endpoint).origin()

    async def show(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        if request.url.origin() == origin:
            request.headers.update(credentials)
        return await handler(request)

    return show


def tls_context() -> ssl.SSLContext:
    """The system's authorities (SSL_CERT_FILE, SSL_CERT_DIR) and those of REQUESTS_CA_BUNDLE and PIP_CERT."""
    context = ssl.create_default_context()
    chosen = {os.environ[name] for name in ("REQUESTS_CA_BUNDLE", "PIP_CERT") if os.environ.get(name)}
    for place in chosen - {os.environ.get("SSL_CERT_FILE", "")}:
        try:
            if Path(place).is_dir():
                context.load_verify_locations(capath=place)
            else:
                context.load_verify_locations(cafile=place)
        except (OSError, ssl.SSLError) as error:
            raise ModelError(f"cannot read the certificates in {place!r}: {error}") from error
    return context


async def get(session: aiohttp.ClientSession, url: str, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
    """GET, following redirects, but never from https to http."""
    here = yarl.URL(url)
    for _ in range(_MAX_REDIRECTS + 1):
        response = await session.get(here, headers=headers, allow_redirects=False)
        if response.status not in _REDIRECTS:
            return response
        location = response.headers.get("Location", "")
        response.close()
        try:
            # A signed address is taken letter by letter; only one that is no proper URL is quoted anew.
            there = here.join(yarl.URL(location, encoded=location.isascii() and location.isprintable()))
        except ValueError as error:
            raise ModelError(f"{public(url)} redirects to {location!r}, which is not a URL") from error
        if not location or there.scheme not in ("http", "https"):
            raise ModelError(f"{public(url)} redirects to {public(str(there))!r}, which is not fetched from")
        if here.scheme == "https" and there.scheme == "http":
            raise ModelError(f"{public(url)} redirects from https to {public(str(there))!r}, which anyone could alter")
        here = there
    raise ModelError(f"{public(url)} redirects more than {_MAX_REDIRECTS} times")


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    text = headers.get("Retry-After", "").strip()
    if not text:
        return None
    try:
        return max(float(text), 0.0)
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max((when - datetime.now(UTC)).total_seconds(), 0.0)


def validator(headers: Mapping[str, str]) -> str:
    etag = headers.get("ETag", "")
    return etag if etag.startswith('"') else headers.get("Last-Modified", "")


def part_start(response: aiohttp.ClientResponse) -> int | None:
    """Where a 206's bytes begin."""
    unit, _, rest = response.headers.get("Content-Range", "").partition(" ")
    first = rest.partition("-")[0]
    return int(first) if unit == "bytes" and first.isascii() and first.isdigit() else None


def whole_bytes(response: aiohttp.ClientResponse) -> int | None:
    """Length of the whole file, from Content-Range."""
    total = response.headers.get("Content-Range", "").rpartition("/")[2]
    return int(total) if total.isascii() and total.isdigit() else None
