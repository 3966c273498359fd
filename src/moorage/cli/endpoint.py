"""Which server a client command talks to, and what it says when there is none."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar, cast
from urllib.parse import urlsplit

import click

from moorage.errors import UpstreamError, UpstreamUnreachable
from moorage.http.client import Client, Reply

DEFAULT_URL = "http://127.0.0.1:8000"


class Refused(UpstreamError):
    """The server answered with an error; the message is its own."""

    def __init__(self, message: str, answered: int) -> None:
        super().__init__(message)
        self.answered = answered


P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible server: `http://host:port` or `unix:/path`, and the key it wants (empty for none)."""

    url: str
    api_key: str = ""

    async def get(self, client: Client, path: str, *, timeout_s: float = 10.0) -> Any:
        """The JSON at `path`. Raises what `plainly` turns into a message."""
        async with client.call(self.url, "GET", path, token=self.api_key, timeout_s=timeout_s) as reply:
            await check(reply)
            body = await reply.read()
        try:
            return json.loads(body)
        except ValueError:
            raise UpstreamError(f"{self.url}{path} does not answer with JSON; is it a Moorage?") from None


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


async def check(reply: Reply) -> None:
    """Raises Refused with the server's own words for a reply that is an error."""
    if reply.status < 400:
        return
    body = await reply.read()
    hint = "; give a key by --api-key or MOORAGE_API_KEY" if reply.status == 401 else ""
    raise Refused(f"{said(body) or f'the server answered {reply.status}'}{hint}", reply.status)


def said(body: bytes) -> str:
    """The message in an error body of OpenAI's shape, else the start of the text."""
    try:
        value: Any = json.loads(body)
    except ValueError:
        return body[:300].decode(errors="replace").strip()
    error: Any = cast("Mapping[str, Any]", value).get("error") if isinstance(value, dict) else None
    if isinstance(error, dict):
        error = cast("Mapping[str, Any]", error).get("message")
    return error if isinstance(error, str) else body[:300].decode(errors="replace")


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
