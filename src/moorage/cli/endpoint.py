"""Which server a client command talks to, and what it says when there is none."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from urllib.parse import urlsplit

import click

from moorage.errors import UpstreamError, UpstreamUnreachable
from moorage.http import refusal
from moorage.http.refusal import Refused

if TYPE_CHECKING:
    from moorage.http.client import Client, Reply

DEFAULT_URL = "http://127.0.0.1:8000"


P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible server: `http://host:port` or `unix:/path`, and the key it wants (empty for none)."""

    url: str
    api_key: str = ""

    async def get(self, client: "Client", path: str, *, timeout_s: float = 10.0) -> Any:
        """The JSON at `path`. Raises what `plainly` turns into a message."""
        async with client.call(self.url, "GET", path, token=self.api_key, timeout_s=timeout_s) as reply:
            await check(reply)
            body = await reply.read()
        try:
            return json.loads(body)
        except ValueError:
            raise UpstreamError(f"{self.url}{path} does not answer with JSON; is it a Moorage?") from None

    async def chat_models(self, client: "Client") -> list[str]:
        """The names of the models to chat with, in the server's order."""
        listing = await self.get(client, "/v1/models")
        try:
            rows: list[dict[str, Any]] = listing["data"]
            return [row["id"] for row in rows if row.get("task") in (None, "generate")]
        except (KeyError, TypeError, AttributeError):
            raise UpstreamError(f"{self.url}/v1/models does not answer as OpenAI's API does") from None


def options(command: Callable[P, R]) -> Callable[P, R]:
    """`--url` and `--api-key`; make an `Endpoint` of them by `endpoint`."""
    key = click.option(
        "--api-key", envvar="MOORAGE_API_KEY", default="", metavar="KEY", help="API key.  [env: MOORAGE_API_KEY]"
    )
    url = click.option(
        "--url",
        envvar="MOORAGE_URL",
        default=DEFAULT_URL,
        metavar="URL",
        help=f"Where Moorage answers.  [env: MOORAGE_URL; default: {DEFAULT_URL}]",
    )
    return url(key(command))


def endpoint(url: str, api_key: str) -> Endpoint:
    """Raises click.BadParameter for what is no address."""
    key = api_key.strip()
    if not key.isascii() or not (key == "" or key.isprintable()):
        raise click.BadParameter("it holds characters that cannot be sent in a header", param_hint="--api-key")
    return Endpoint(normal(url), key)


def normal(url: str) -> str:
    """`localhost:8000`, `http://host/`, `http://host/v1` and `unix:/path` as a client wants them."""
    url = url.strip()
    if url.startswith("unix:"):
        return url
    if "://" not in url:
        url = f"http://{url}"
    url = url.rstrip("/").removesuffix("/v1").rstrip("/")
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good:
        raise click.BadParameter(f"{url!r} is no address; write it like {DEFAULT_URL}", param_hint="--url")
    return url


async def check(reply: "Reply") -> None:
    """Raises Refused with the server's own words, and what to do about a missing key."""
    try:
        await refusal.check(reply)
    except Refused as refused:
        if refused.answered != 401:
            raise
        raise Refused(f"{refused.message}; give a key by --api-key or MOORAGE_API_KEY", 401) from refused


@contextmanager
def plainly(where: Endpoint) -> Generator[None]:
    """Says what to do when nothing listens there."""
    try:
        yield
    except UpstreamUnreachable as error:
        raise UpstreamUnreachable(
            f"no Moorage at {where.url}; start one with `moorage serve`, or name another by --url"
        ) from error


def run(main: Coroutine[Any, Any, R], where: Endpoint) -> R:
    """Run a command's coroutine; Ctrl-C cancels it."""
    with plainly(where):
        return asyncio.run(main)
