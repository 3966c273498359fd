"""Which worker runs a replica: filter, score, explain. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A worker as placement sees it."""

    worker: str
    reachable: bool
    replicas: int
    """Replicas it has been given already."""


@dataclass(frozen=True)
class Placement:
    worker: str | None
    why: str


def place(candidates: Iterable[Candidate]) -> Placement:
    """The reachable worker with the fewest replicas; ties go by name, so that the choice is stable."""
    known = sorted(candidates, key=lambda candidate: (candidate.replicas, candidate.worker))
    reachable = [candidate for candidate in known if candidate.reachable]
    if not reachable:
        names = ", ".join(candidate.worker for candidate in known)
        return Placement(None, f"no worker is reachable (known: {names})" if known else "no worker has joined yet")
    best = reachable[0]
    return Placement(best.worker, f"{best.worker} has the fewest replicas ({best.replicas})")
