"""What a runtime counts itself, as Prometheus text; engine adapters read these names."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

PREFIX = "moorage_runtime_"

Sample = tuple[Literal["gauge", "counter"], str, str, float]
"""Kind, name without prefix, help, value."""


@dataclass
class Counters:
    """Calls by how they ended."""

    calls: int = 0
    finished: int = 0
    cancelled: int = 0
    failed: int = 0


def samples(counters: Counters, *, running: int, queued: int, slots: int) -> Iterable[Sample]:
    """What every runtime tells of its calls."""
    return (
        ("gauge", "running", "Calls worked on", running),
        ("gauge", "queued", "Calls that wait for their turn", queued),
        ("gauge", "slots", "Calls that can run at once", slots),
        ("counter", "calls_total", "Calls given to the engine", counters.calls),
        ("counter", "calls_finished_total", "Calls that ran to their end", counters.finished),
        ("counter", "calls_cancelled_total", "Calls whose client left", counters.cancelled),
        ("counter", "calls_failed_total", "Calls the engine refused or failed", counters.failed),
    )


def exposition(samples: Iterable[Sample]) -> str:
    lines: list[str] = []
    for kind, name, text, value in samples:
        full = PREFIX + name
        lines += [f"# HELP {full} {text}", f"# TYPE {full} {kind}", f"{full} {value}"]
    return "\n".join(lines) + "\n"
