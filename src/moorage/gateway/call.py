"""A call on its way: what was asked, by whom, and what became of it."""

import time
from dataclasses import dataclass, field
from typing import Literal

from msgspec import Struct

from moorage.wire.body import Fields
from moorage.wire.names import Task
from moorage.wire.table import ModelRow, TargetRow

Phase = Literal["reading", "queued", "prefill", "decode", "done"]
"""Where a call is: names the phase in which a client left or a deadline ran out.

prefill lasts until the reply's first byte, so a call that does not stream never leaves it before it is done."""

Outcome = Literal["ok", "error", "cancelled", "broken"]


@dataclass(frozen=True, slots=True)
class Surface:
    """An inference route: what it is called, which tasks it is for, and how it differs from the others."""

    name: str
    path: str
    """Where engines serve it."""
    tasks: tuple[Task, ...]
    streams: bool = False
    bound: str | None = None
    """The field by which the engine is told the longest reply, where the surface has one."""
    bounds: tuple[str, ...] = ()
    """All fields by which a client may have said it."""
    needs_model: bool = True


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a call is from."""

    name: str


class Usage(Struct, frozen=True):
    """OpenAI's usage block, as far as we read it."""

    class Details(Struct, frozen=True):
        cached_tokens: int | None = None

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: Details | None = None

    @property
    def cached_tokens(self) -> int:
        return (self.prompt_tokens_details and self.prompt_tokens_details.cached_tokens) or 0


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
    fields: Fields = field(default_factory=Fields)
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
