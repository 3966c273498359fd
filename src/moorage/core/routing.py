"""Which target answers a call. Pure: what is known goes in, a choice comes out."""

from collections.abc import Callable, Iterable

from moorage.wire.table import TargetRow

TargetKey = tuple[str, int]
"""A target's id and generation: a restarted engine is another target."""


def key_of(target: TargetRow) -> TargetKey:
    return (target.id, target.generation)


def seats(target: TargetRow, processes: int) -> int:
    """Calls one gateway process may have at a target: its share of the capacity, plus one that waits at the engine.

    The one in excess hides the way back and forth between two calls; more would only queue inside the engine, where
    nobody can reorder or cancel them.
    """
    return -(-max(1, target.capacity) // max(1, processes)) + 1


def least_loaded(targets: Iterable[TargetRow], in_use: Callable[[TargetRow], int], processes: int) -> TargetRow | None:
    """The target with the smallest share of its seats taken; None when none has a free seat."""
    best: TargetRow | None = None
    best_load = 1.0
    for target in targets:
        load = in_use(target) / seats(target, processes)
        if load < best_load:
            best, best_load = target, load
    return best
