"""Which target answers a call. Pure: what is known goes in, a choice comes out."""

from collections.abc import Callable, Iterable

from moorage.wire.table import TargetRow

TargetKey = tuple[str, int]
"""A target's id and generation: a restarted engine is another target."""


def key_of(target: TargetRow) -> TargetKey:
    return (target.id, target.generation)


def least_loaded(targets: Iterable[TargetRow], load: Callable[[TargetRow], float]) -> TargetRow | None:
    """The target with the smallest share of its seats taken (`load`, 1 is full); None when all are full."""
    best: TargetRow | None = None
    best_load = 1.0
    for target in targets:
        if (its_load := load(target)) < best_load:
            best, best_load = target, its_load
    return best
