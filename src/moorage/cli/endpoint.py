"""Which server a client command talks to, and what it says when there is none."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from urllib.parse import urlsplit

import click
import msgspec

from moorage.errors import ModelNotFound, UpstreamBroken, UpstreamError, UpstreamUnreachable
from moorage.http import refusal
from moorage.http.refusal import Refused
from moorage.wire.names import Task

if TYPE_CHECKING:
    from moorage.http.client import Client, Reply

DEFAULT_URL = "http://127.0.0.1:8000"


P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


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

    async def post(self, client: "Client", path: str, body: Mapping[str, Any], kind: type[T]) -> T:
        """What `path` answers to `body`, as a `kind`. Waits as long as the server works on it."""
        content = json.dumps(body).encode()
        async with client.call(self.url, "POST", path, body=content, token=self.api_key) as reply:
            await check(reply)
            answer = await reply.read()
        try:
            return msgspec.json.decode(answer, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamBroken(f"what {self.url}{path} answered is not understood: {error}") from None

    async def chat_models(self, client: "Client") -> list[str]:
        """The names of the models to chat with, in the server's order."""
        return [name for name, task in await self._models(client) if task in (None, "generate")]

    async def only_model(self, client: "Client", tasks: Sequence[Task]) -> str:
        """The one model for the first of the tasks that any model is for. Raises ModelNotFound for none and several.

        A model whose server does not tell its task may be for any.
        """
        known = await self._models(client)
        for task in (*tasks, None):
            names = [name for name, its_task in known if its_task == task]
            if len(names) == 1:
                return names[0]
            if names:
                several = f"several models to {task}" if task else "several models"
                raise ModelNotFound(f"{self.url} has {several}: {', '.join(names)}; choose one by --model")
        there = ", ".join(f"{name} ({task})" for name, task in known) or "none at all"
        hint = "; `moorage doctor` tells how a server gets speech" if "transcribe" in tasks else ""
        raise ModelNotFound(f"{self.url} has no model to {' or '.join(tasks)}; it has {there}{hint}")

    async def _models(self, client: "Client") -> list[tuple[str, str | None]]:
        """Name and task of each model, in the server's order."""
        listing = await self.get(client, "/v1/models")
        try:
            rows: list[dict[str, Any]] = listing["data"]
            return [(str(row["id"]), row.get("task")) for row in rows]
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


def model_option(command: Callable[P, R]) -> Callable[P, R]:
    """`--model`, as the argument `model`; empty for the only one there is."""
    return click.option(
        "-m", "--model", default="", metavar="NAME", help="Which model; the only one for this when left out."
    )(command)


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
