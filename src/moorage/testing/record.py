"""What the fake engine remembers, for tests to assert on."""

import json
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal

from moorage.testing.faults import Fault
from moorage.testing.forms import Form

Outcome = Literal["running", "finished", "cancelled", "faulted"]


@dataclass
class Call:
    """One request. Times are `time.monotonic()`, which all processes of a machine share on Linux."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    """At most the engine's `kept_bytes` of it."""
    started_at: float = field(default_factory=time.monotonic)
    finished_at: float | None = None
    disconnected_at: float | None = None
    """When the client was seen to leave before the reply was complete."""
    outcome: Outcome = "running"
    """cancelled: the client left and the work was stopped; faulted: a fault ended it."""
    status: int | None = None
    tokens: int = 0
    tokens_after_disconnect: int = 0
    faults: tuple[Fault, ...] = ()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def form(self) -> Form:
        """Raises ValueError for a body that is none."""
        return Form(self.header("content-type"), self.body)

    def header(self, name: str) -> str:
        """The first header of that name, empty where there is none."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    def as_json(self) -> dict[str, Any]:
        values = {key: value for key, value in vars(self).items() if key not in ("body", "faults", "headers")}
        return values | {
            "body": self.body.decode(errors="replace"),
            "headers": [list(pair) for pair in self.headers],
            "faults": [fault.as_json() for fault in self.faults],
        }


class Record:
    """Counts of every call for a model's work, and the last calls of any kind."""

    def __init__(self, *, kept_calls: int, kept_bytes: int) -> None:
        self.calls: deque[Call] = deque(maxlen=kept_calls)
        self._kept_bytes = kept_bytes
        self.connections = 0
        self.started = 0
        self.finished = 0
        self.cancelled = 0
        """Calls whose work was stopped because the client left, those in the queue included."""
        self.faulted = 0
        self.running = 0
        self.running_max = 0
        self.queued = 0
        self.tokens = 0
        self.tokens_after_disconnect = 0
        self.prompt_tokens = 0

    def arrived(self, method: str, path: str, headers: list[tuple[str, str]], body: bytes) -> Call:
        call = Call(method, path, headers, body[: self._kept_bytes])
        self.calls.append(call)
        return call

    def begin(self) -> None:
        self.started += 1
        self.running += 1
        self.running_max = max(self.running_max, self.running)

    def token(self, call: Call, amount: int = 1) -> None:
        self.tokens += amount
        call.tokens += amount
        if call.disconnected_at is not None:
            self.tokens_after_disconnect += amount
            call.tokens_after_disconnect += amount

    def end(self, outcome: Outcome) -> None:
        self.running -= 1
        if outcome == "finished":
            self.finished += 1
        elif outcome == "cancelled":
            self.cancelled += 1
        else:
            self.faulted += 1

    def as_json(self) -> dict[str, Any]:
        counts = {key: value for key, value in vars(self).items() if isinstance(value, int) and key[0] != "_"}
        return counts | {"calls": [call.as_json() for call in self.calls]}
