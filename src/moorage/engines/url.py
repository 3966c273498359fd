"""A model that a server elsewhere answers for: where its routes are, and what its listing says of the model. Pure.

Not in the registry: it runs nothing, so that `auto` never chooses it; a model's `url` does.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from moorage.config.address import is_loopback
from moorage.config.model import ELSEWHERE, ModelSpec
from moorage.engines.options import unused
from moorage.errors import EngineError
from moorage.wire.control import Manners
from moorage.wire.names import Task

NAME = ELSEWHERE
HONOURED = frozenset({"max_sequences", "max_model_len"})
CAPACITY = 32
"""Calls sent there at once where options.max_sequences says nothing."""
ROUTES = (
    *("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/rerank", "/v1/score"),
    *("/v1/audio/transcriptions", "/v1/audio/translations"),
)
VERSIONED = re.compile(r"/v\d+[a-z0-9]*$")
LLAMA_SERVER = "llama.cpp"
"""The Server header of llama-server, whose manners are known."""
PROBES: Mapping[Task, tuple[str, Mapping[str, object]]] = {
    "generate": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "ready"}], "max_tokens": 1}),
    "embed": ("/v1/embeddings", {"input": "ready"}),
    "rerank": ("/rerank", {"query": "ready", "documents": ["ready"]}),
    "classify": ("/classify", {"input": "ready"}),
}
"""The least that can be asked of a model where a server has no listing."""


@dataclass(frozen=True)
class Place:
    """Where a server answers."""

    address: str
    """What stands before its paths."""
    paths: Mapping[str, str]
    """Ours → its, where they differ."""
    models: str
    """The path of its listing."""


class _Meta(Struct):
    n_ctx: int | None = None


class _Entry(Struct):
    """One model of a listing, with what servers tell besides OpenAI's fields."""

    id: str
    task: str | None = None
    max_model_len: int | None = None
    context_length: int | None = None
    context_window: int | None = None
    aliases: list[str] = []
    meta: Any = None


class _Listing(Struct):
    data: list[_Entry]


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A model as the server elsewhere knows it. None where it does not say."""

    task: Task | None
    max_model_len: int | None


_listing = msgspec.json.Decoder(_Listing).decode


def place(url: str) -> Place:
    """`https://host/v1` and `https://host` mean the same; another version (`/api/v4`) takes the place of /v1."""
    path = urlsplit(url).path
    if path.endswith("/v1"):
        return Place(url.removesuffix("/v1"), {}, "/v1/models")
    if VERSIONED.search(path):
        return Place(url, {route: route.removeprefix("/v1") for route in ROUTES}, "/models")
    return Place(url, {}, "/v1/models")


def served_name(spec: ModelSpec) -> str:
    return spec.source or spec.name


def listed(content: bytes, name: str) -> Listed | None:
    """What a listing says of a model; None for what is no listing. Raises EngineError where it lists others only."""
    try:
        entries = _listing(content).data
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    found = next((entry for entry in entries if name == entry.id or name in entry.aliases), None)
    if found is None:
        raise EngineError(f"it has no model {name!r}{_others(entries, name)}")
    lengths = (found.max_model_len, found.context_length, found.context_window, _meta(found.meta).n_ctx)
    return Listed(
        task=next((task for task in PROBES if task == found.task), None),
        max_model_len=next((length for length in lengths if length), None),
    )


def manners(where: Place, server: str) -> Manners:
    """`server` is the header of that name."""
    if server.lower() != LLAMA_SERVER:
        return Manners(paths=dict(where.paths))
    return Manners(paths=dict(where.paths), adds={"return_progress": True}, tokens="llama.cpp")


def cancels_unary(server: str) -> bool:
    """Whether leaving a call that does not stream is seen. Taken for granted but of those that are known not to."""
    return server.lower() != LLAMA_SERVER


def why(spec: ModelSpec, found: Listed) -> tuple[str, ...]:
    """Raises EngineError for options that only who runs the server can honour."""
    assert spec.url is not None
    parts = urlsplit(spec.url)
    calls = spec.options.max_sequences
    said = "options.max_sequences" if calls else "options.max_sequences says nothing"
    clear = parts.scheme == "http" and not is_loopback(parts.hostname or "")
    return (
        f"url: {parts.scheme}://{parts.netloc} answers for it as {served_name(spec)!r}",
        f"{calls or CAPACITY} calls at once: {said}",
        *((f"{found.max_model_len} tokens of context, as it says",) if found.max_model_len else ()),
        *(("calls go there unencrypted, and so does its key: http",) if clear and spec.api_key else ()),
        *unused(spec, "a server elsewhere", HONOURED),
    )


def _meta(said: Any) -> _Meta:
    """llama-server's."""
    try:
        return msgspec.convert(said, _Meta)
    except msgspec.ValidationError:
        return _Meta()


def _others(entries: list[_Entry], name: str) -> str:
    names = [entry.id for entry in entries]
    if near := difflib.get_close_matches(name, names, n=1, cutoff=0.5):
        return f"; did you mean {near[0]!r}? Say it in the model's source"
    if not names:
        return ", and lists none at all"
    shown = ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"; it has {shown}. Say the right one in the model's source"
