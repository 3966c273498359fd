"""Models that share the machine's own memory: whether they fit together, and with which calls and contexts they do."""

from collections.abc import Iterator, Sequence

from moorage.core.memory import OWN_BYTES, usable_bytes
from moorage.core.text import human
from moorage.errors import ConfigError
from moorage.serve.fit.change import Change, changed, listed
from moorage.serve.sizing import Sized, size
from moorage.wire.control import Machine

SHORTEST = 2048
"""Tokens of a call below which nobody's context is lowered unasked."""


def of_processor(sized: Sequence[Sized], machine: Machine, *, fit: bool) -> tuple[dict[str, Change], list[str]]:
    """Changes with which the models fit, where asked for; warnings where it is close. Raises ConfigError.

    Each can start alone: what does not is its engine's to refuse.
    """
    total = sum(each.processor_bytes for each in sized)
    most = usable_bytes(machine.memory_bytes)
    tight = total <= machine.memory_bytes - OWN_BYTES
    if total <= most or sum(each.spec.replicas for each in sized) < 2:
        return {}, []
    changes = lowered(sized, machine, most)
    told = ", ".join(
        f"{each.spec.name} {human(each.processor_bytes)}"
        for each in sorted(sized, key=lambda each: -each.processor_bytes)
    )
    what = (
        f"the models need about {human(total)} of memory together ({told}), this machine has "
        f"{human(machine.memory_bytes)}"
    )
    if changes is None:
        fix = "set replicas to 0 for some, or take smaller or more strongly quantised ones: moorage plan tells of each"
        if tight and not fit:
            return {}, [f"{what}: that leaves little for anything else; {fix}"]
        raise ConfigError(f"{what}: {fix}")
    if fit:
        return changes, []
    fix = f"{listed(changes)} would fit: set that in their options, or start with --fit"
    if tight:
        return {}, [f"{what}: that leaves little for anything else; {fix}"]
    raise ConfigError(f"{what}: {fix}")


def lowered(sized: Sequence[Sized], machine: Machine, most_bytes: float) -> dict[str, Change] | None:
    """Fewer calls at once, then less context, the dearest first, of what nobody set. None where that is not enough."""
    now = {each.spec.name: each for each in sized}
    made: dict[str, dict[str, object]] = {}
    closed: set[tuple[str, str]] = {
        (each.spec.name, option)
        for each in sized
        for option in ("max_sequences", "max_model_len")
        if option in each.spec.options.model_fields_set and getattr(each.spec.options, option) is not None
    }
    for option in ("max_sequences", "max_model_len"):
        while sum(each.processor_bytes for each in now.values()) > most_bytes:
            able = [each for name, each in now.items() if (name, option) not in closed]
            if not able:
                break
            dearest = max(able, key=_movable_bytes)
            name = dearest.spec.name
            for less in _less(dearest, option):
                tried = size(changed(dearest.spec, less), dearest.facts, machine)
                if not tried.problem and tried.processor_bytes < dearest.processor_bytes:
                    now[name] = tried
                    made.setdefault(name, {}).update(less.options)
                    break
            else:
                closed.add((name, option))
    if sum(each.processor_bytes for each in now.values()) > most_bytes:
        return None
    return {name: Change(model=name, options=options) for name, options in made.items()}


def _movable_bytes(each: Sized) -> int:
    return (each.memory.kv_bytes + each.memory.compute_bytes) * each.spec.replicas if each.memory else 0


def _less(each: Sized, option: str) -> Iterator[Change]:
    """Half of the calls, or half of the context, and again; the other as it is, which would else take what is left."""
    if each.launch is None:
        return
    now = {"max_sequences": each.launch.capacity, "max_model_len": each.launch.max_model_len}
    given = each.spec.options.model_fields_set
    kept = {name: value for name, value in now.items() if value is not None and name not in given}
    value, least = now[option] or 0, 1 if option == "max_sequences" else SHORTEST
    while value > least:
        value = max(least, value // 2 if option == "max_sequences" else value // 2 // 256 * 256)
        yield Change(model=each.spec.name, options={**kept, option: value})
