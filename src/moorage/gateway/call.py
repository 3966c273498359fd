"""A call on its way: what was asked, by whom, and what became of it."""

import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

from moorage.gateway.usage import Usage
from moorage.http.upload import Upload
from moorage.wire.names import Task
from moorage.wire.table import ModelRow, TargetRow

Phase = Literal["reading", "queued", "prefill", "decode", "done"]
"""Where a call is: names the phase in which a client left or a deadline ran out.

prefill lasts until the reply's first byte, so a call that does not stream never leaves it before it is done."""

Outcome = Literal["ok", "error", "cancelled", "broken"]


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Surface:
    """An inference route: what it is called, which tasks it is for, and how it differs from the others."""

    name: str
    """In metrics and logs: the routes of one name differ only in their path."""
    path: str
    """Where clients call it, and where engines serve it."""
    tasks: tuple[Task, ...]
    streams: bool = False
    """A call may ask for a stream with `stream`."""
    generates: bool = False
    """Its streams carry a token an event, tell their usage to who asks with `stream_options`, and can be folded."""
    form: bool = False
    """Its calls come as multipart/form-data with a file, and its replies may be text that is no JSON."""
    bound: str | None = None
    """The field by which the engine is told the longest reply, where the surface has one."""
    bounds: tuple[str, ...] = ()
    """All fields by which a client may have said it."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a call is from."""

    name: str


class Body(Protocol):
    """What a client sent, as far as the way of its call depends on it. Engines judge the rest."""

    @property
    def names(self) -> Collection[str]:
        """Of its fields."""
        ...

    def read(self, name: str, kind: type[T], default: T) -> T:
        """One field by type; `default` where it is missing. Raises BadRequest naming the field."""
        ...

    def for_target(self, call: "Call", model: ModelRow, target: TargetRow) -> bytes | Upload:
        """What one engine is sent: the body as it came, but for the named edits."""
        ...

    def close(self) -> None:
        """Free what it holds. Idempotent."""
        ...


@dataclass(slots=True)
class Call:
    """Made by a surface, carried through the pipeline, read by settle."""

    surface: Surface
    id: str
    started: float = field(default_factory=time.perf_counter)
    principal: Principal | None = None
    model: ModelRow | None = None
    asked: str = ""
    """The model's name as the client wrote it; replies carry it."""
    stream: bool = False
    wants_usage: bool = False
    phase: Phase = "reading"
    target: TargetRow | None = None
    attempts: int = 0
    chunks: int = 0
    """Events with content relayed to the client."""
    queued_s: float = 0.0
    first_token_s: float | None = None
    usage: Usage | None = None
    outcome: Outcome = "ok"
    error: str = ""

    def elapsed_s(self) -> float:
        return time.perf_counter() - self.started
