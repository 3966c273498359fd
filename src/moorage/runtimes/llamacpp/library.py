"""The llama.cpp library behind one small face. Nothing else imports xllamacpp."""

import difflib
import enum
import os
import secrets
from pathlib import Path
from typing import Any, Literal, cast

import xllamacpp

from moorage.errors import BadRequest, EngineError, InternalError, MoorageError
from moorage.runtimes.generating.refusals import context_exceeded
from moorage.runtimes.llamacpp.channel import Channel, Event
from moorage.wire.runtime import ExtraArg, LlamaCppSettings

Kind = Literal["chat", "completions"]
"""Calls whose reply comes in events."""
Whole = Literal["embeddings", "rerank"]
"""Calls whose reply comes whole."""

QUIET = 1
"""Errors only: at 2 the library warns of every call that is answered from its cache, at 3 it tells of every slot."""
LISTENER_THREADS = 4
OWN_FIELDS = {
    "model": "the model's source",
    "model_alias": "the model's name",
    "hostnames": None,
    "port": None,
    "api_keys": None,
    "endpoint_metrics": None,
    "endpoint_slots": None,
    "embedding": "the model's task",
    "n_parallel": "options.max_sequences",
    "n_ctx": "options.max_model_len",
    "n_batch": "options.batch_tokens",
    "n_ubatch": "options.batch_tokens",
    "cache_type_k": "options.kv_cache_dtype",
    "cache_type_v": "options.kv_cache_dtype",
    "cache_prompt": "options.prefix_caching",
}
"""Fields that `extra_args` may not touch, and what to set instead."""


class Library:
    """Construct → load → call from any thread → close. Calls block; events go to a channel."""

    def __init__(self, settings: LlamaCppSettings, listener: Path) -> None:
        self._settings = settings
        self._params = parameters(settings)
        self.listener = listener
        """Unix socket of the library's own HTTP server: what has no function is reached there, by us alone."""
        self.listener_token = secrets.token_urlsafe(32)
        self.fingerprint = f"llama.cpp-{xllamacpp.__version__}"
        """Changes with the engine's release, which may change what a seed gives."""
        self._server: xllamacpp.Server | None = None

    def load(self) -> None:
        """Read the model. Holds the interpreter's lock. Raises EngineError; the cause is on stderr."""
        self.listener.unlink(missing_ok=True)
        self._params.hostnames = [os.fspath(self.listener)]
        self._params.api_keys = [self.listener_token]
        try:
            self._server = xllamacpp.Server(self._params)
        except (RuntimeError, ValueError, MemoryError) as error:
            raise EngineError(f"llama.cpp could not load {self._settings.model_path}: {error}") from error

    def close(self) -> None:
        self._server = None
        self.listener.unlink(missing_ok=True)

    def stream(self, kind: Kind, body: Event, channel: Channel) -> None:
        """One streamed call, in the calling thread until it is over. Ends by closing the channel."""
        server = self._loaded()
        handle = server.handle_chat_completions if kind == "chat" else server.handle_completions
        refusal: list[MoorageError] = []

        def take(event: Any) -> bool:
            if not isinstance(event, dict):
                return channel.cancelled
            known = cast("Event", event)
            if "error" in known:
                refusal.append(translated(known["error"]))
                return True
            return channel.put(known)

        try:
            handle(body, take)
        except (ValueError, RuntimeError) as error:
            channel.close(_raised(error))
        else:
            channel.close(refusal[0] if refusal else None)

    def once(self, kind: Whole, body: Event) -> Event:
        """One call that cannot be interrupted, in the calling thread."""
        server = self._loaded()
        handle = server.handle_embeddings if kind == "embeddings" else server.handle_rerank
        try:
            reply: Event = handle(body)
        except (ValueError, RuntimeError) as error:
            raise _raised(error) from error
        if "error" in reply:
            raise translated(reply["error"])
        return reply

    def metrics(self) -> str:
        return self._loaded().handle_metrics()

    def _loaded(self) -> xllamacpp.Server:
        if self._server is None:
            raise InternalError("the model is not loaded")
        return self._server


def translated(error: Any) -> MoorageError:
    """The library's error body as one of ours."""
    code, kind, message = error.get("code"), error.get("type"), str(error.get("message"))
    if kind == "exceed_context_size_error":
        wanted, room = error.get("n_prompt_tokens"), error.get("n_ctx")
        return context_exceeded(wanted, room)
    if isinstance(code, int) and 400 <= code < 500:
        return BadRequest(message)
    return InternalError(f"llama.cpp failed: {message}")


def _raised(error: Exception) -> MoorageError:
    """The library raises for what it cannot parse: schemas, templates, values."""
    return BadRequest(f"llama.cpp refused the call: {error}")


def parameters(settings: LlamaCppSettings) -> xllamacpp.CommonParams:
    """The library's parameter structure. Raises EngineError for a field this release does not have."""
    params = xllamacpp.CommonParams()
    own: dict[str, Any] = {
        "model_alias": {settings.served_name},
        "cors_origins": "http://localhost",
        "ui": False,
        "endpoint_metrics": True,
        "endpoint_slots": True,
        "n_threads_http": LISTENER_THREADS,
        "n_ctx": settings.context * settings.slots,
        "n_parallel": settings.slots,
        "n_batch": settings.batch_tokens,
        "n_ubatch": settings.batch_tokens,
        "cache_prompt": settings.prefix_caching,
        "cache_ram_mib": settings.prompt_cache_mib,
        "cache_idle_slots": settings.prompt_cache_mib > 0,
        # The adapter fits the parameters to the machine; the library would load the file twice to do it again.
        "fit_params": False,
        "embedding": settings.task != "generate",
        "verbosity": QUIET,
    }
    for name, value in own.items():
        if not hasattr(params, name):
            raise EngineError(
                f"xllamacpp {xllamacpp.__version__} has no field {name!r}: install the release Moorage is pinned to"
            )
        setattr(params, name, value)
    params.model.path = settings.model_path
    params.cpuparams.n_threads = settings.stream_threads or settings.threads
    params.cpuparams_batch.n_threads = settings.threads
    number = getattr(xllamacpp.ggml_type, f"GGML_TYPE_{settings.kv_cache_dtype.upper()}")
    params.cache_type_k = number
    params.cache_type_v = number
    if settings.pooling != "file":
        params.pooling_type = getattr(xllamacpp.llama_pooling_type, f"LLAMA_POOLING_TYPE_{settings.pooling.upper()}")
    for name, value in settings.extra_args.items():
        _set_extra(params, name, value)
    return params


def _set_extra(params: xllamacpp.CommonParams, name: str, value: ExtraArg) -> None:
    if name in OWN_FIELDS or name.startswith("model."):
        instead = OWN_FIELDS.get(name, "the model's source")
        advice = f"set {instead} instead" if instead else "Moorage sets it itself"
        raise EngineError(f"options.extra_args.{name} cannot be set: {advice}")
    owner: Any = params
    *path, last = name.split(".")
    for part in path:
        owner = _field(owner, part, name)
    current = _field(owner, last, name)
    try:
        setattr(owner, last, _converted(current, value, name))
    except (TypeError, ValueError, OverflowError) as error:
        raise EngineError(f"options.extra_args.{name}: {value!r} does not fit: {error}") from error


def _field(owner: Any, part: str, name: str) -> Any:
    fields = [field for field in dir(owner) if not field.startswith("_")]
    if part not in fields:
        near = ", ".join(difflib.get_close_matches(part, fields, n=3, cutoff=0.5))
        hint = f"; near names: {near}" if near else ""
        raise EngineError(f"options.extra_args.{name}: llama.cpp has no field {part!r}{hint}")
    return getattr(owner, part)


def _converted(current: Any, value: ExtraArg, name: str) -> Any:
    """`value` as the field's own type. Enumerations are given by the end of a member's name: `yarn`, `layer`."""
    if isinstance(current, enum.Enum):
        members = list(type(current))
        wanted = str(value).lower()
        found = [member for member in members if member.name.lower().endswith(f"_{wanted}")]
        if len(found) != 1:
            names = ", ".join(member.name for member in members)
            raise EngineError(f"options.extra_args.{name}: {value!r} is none of {names}")
        return found[0]
    if isinstance(current, bool) or not isinstance(current, (int, float, str)):
        if isinstance(current, bool) and isinstance(value, bool):
            return value
        raise EngineError(f"options.extra_args.{name} takes {_kind(current)}, got {value!r}")
    if isinstance(value, bool) or isinstance(current, str) != isinstance(value, str):
        raise EngineError(f"options.extra_args.{name} takes {_kind(current)}, got {value!r}")
    if isinstance(current, int) and isinstance(value, float):
        raise EngineError(f"options.extra_args.{name} takes a whole number, got {value!r}")
    return value


def _kind(current: Any) -> str:
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    kind = cast("type[Any]", type(current))
    return words.get(kind, f"a {kind.__name__}, which a configuration cannot hold")
