"""What can go wrong at an engine, as data: set for an engine, or for one call by a directive in its prompt.

A directive is `[[fault: KIND key=value …]]` in the last message or the prompt; several may stand side by side.
`[[say: TEXT]]` makes TEXT the reply.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from math import inf
from typing import Any

KINDS: Mapping[str, str] = {
    "slow": "nothing is sent for `s` seconds, then all goes well",
    "stall": "silence for `s` seconds (for ever without)",
    "reset": "the connection is reset (on a Unix socket: closed)",
    "truncate": "the connection is closed as if all had been said",
    "garbage": "bytes that are not HTTP, then the connection is closed",
    "exit": "the engine's process ends with code `code`, at once (only in a process of its own)",
    "undone": "a stream ends in good HTTP, without its finish and [DONE]",
    "status": "an error reply with `code` (500), an OpenAI body and Retry-After of `s` if given",
    "json": "invalid JSON: the body, or one event of a stream",
    "type": "content-type text/html",
    "drip": "`size` (1) bytes at a time, `s` (0.001) seconds apart",
    "split": "every event is cut inside a character",
    "huge": "one token of `size` (16 MiB) bytes",
    "error": "an error event ends the stream, as vLLM sends it; 500 for a unary call",
    "close": "a good reply, after which the connection is closed unannounced",
    "headers": "content-type comes twice, and once more as something else",
    "refuse": "the call is reset and no connection taken for `s` (1) seconds",
    "crlf": "events framed by CRLF",
    "cr": "events framed by CR",
    "comments": "a comment and an empty event between events",
    "model": "replies name the model `name` (someone-else)",
    "usage": "usage in every chunk, and a usage chunk nobody asked for",
    "nousage": "no usage even where it was asked for",
}
"""Every kind of fault, and what it does."""

_STRIKES = frozenset({"stall", "reset", "truncate", "garbage", "exit"})
_DIRECTIVE = re.compile(r"\[\[fault:\s*([^\]]+)\]\]")
_SAY = re.compile(r"\[\[say:\s?(.*?)\]\]", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that goes wrong.

    `after` says when: None is before the headers, 0 behind the headers, k behind the k-th token of a stream or within
    the body of a unary reply; a reply with fewer tokens is struck before its end. Kinds without a moment ignore it.
    """

    kind: str
    after: int | None = None
    s: float | None = None
    code: int | None = None
    size: int | None = None
    name: str | None = None
    path: str = "/v1/"
    """Only calls whose path begins so; `/health` and `/metrics` can be struck, too."""
    times: int | None = None
    """How many calls it strikes before it wears off; None for all."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"there is no fault {self.kind!r}; choose one of {', '.join(KINDS)}")

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """`stall after=3 s=2`. A bare HTTP status (`503`) stands for `status code=503`."""
        kind, *words = text.split()
        values: dict[str, Any] = {}
        if kind.isdecimal():
            kind, values["code"] = "status", int(kind)
        types = {"after": int, "s": float, "code": int, "size": int, "times": int, "name": str, "path": str}
        for word in words:
            key, _, value = word.partition("=")
            if key not in types:
                raise ValueError(f"a fault has no {key!r}; it may have {', '.join(types)}")
            values[key] = types[key](value)
        return cls(kind=kind, **values)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Fault":
        """From JSON, as `as_json` writes it."""
        unknown = values.keys() - {one.name for one in fields(cls)}
        if unknown:
            raise ValueError(f"a fault has no {', '.join(sorted(unknown))}")
        return cls(**values)

    def as_json(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if value is not None}


class Plan:
    """The faults of one call."""

    def __init__(self, faults: tuple[Fault, ...] = ()) -> None:
        self._faults = {fault.kind: fault for fault in faults}
        self._pending = [fault for fault in faults if fault.kind in _STRIKES]

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._faults.values())

    def get(self, kind: str) -> Fault | None:
        return self._faults.get(kind)

    def __contains__(self, kind: str) -> bool:
        return kind in self._faults

    def due(self, position: float | None) -> list[Fault]:
        """The strikes whose moment has come, each once. None: before the headers; k: behind token k; inf: the end."""
        due = [fault for fault in self._pending if _is_due(fault.after, position)]
        for fault in due:
            self._pending.remove(fault)
        return due


def _is_due(after: int | None, position: float | None) -> bool:
    if after is None or position is None:
        return after is position
    return after <= position


END = inf


class Faults:
    """The faults set for an engine, and how often each may still strike."""

    def __init__(self, faults: tuple[Fault, ...] = ()) -> None:
        self.set(faults)

    def set(self, faults: tuple[Fault, ...]) -> None:
        self._faults = list(faults)

    def plan(self, path: str, prompt: str) -> Plan:
        """What strikes a call: its own directives, else the engine's faults for its path."""
        own = tuple(replace(Fault.parse(text), path=path) for text in _DIRECTIVE.findall(prompt))
        if own:
            return Plan(own)
        struck = tuple(fault for fault in self._faults if path.startswith(fault.path))
        for fault in struck:
            self._wear(fault)
        return Plan(struck)

    def _wear(self, fault: Fault) -> None:
        if fault.times is None:
            return
        at = self._faults.index(fault)
        if fault.times <= 1:
            del self._faults[at]
        else:
            self._faults[at] = replace(fault, times=fault.times - 1)


def said(prompt: str) -> str | None:
    """The reply a prompt asks for by `[[say: …]]`, the last one where there are several."""
    found = _SAY.findall(prompt)
    return found[-1] if found else None
