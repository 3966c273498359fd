"""Models that share accelerators: whether their shares add up, and which would."""

from collections.abc import Sequence

from moorage.config.model import ModelSpec
from moorage.core.devices import SLICE, Hold, grant, wish_of
from moorage.core.shares import Claim, Portion, divide
from moorage.core.text import human
from moorage.errors import ConfigError, MoorageError
from moorage.serve.fit.change import Change, Known, changed, listed
from moorage.serve.sizing import size
from moorage.wire.control import Device, Machine

CALLS = 8
"""Calls of full length that a share of an accelerator is reckoned for."""
SHORTEST, COMMON = 2048, 8192
"""Tokens of a call, where nobody said how many: without which a share is of no use, and that it is reckoned for."""


def of_devices(known: Sequence[Known], machine: Machine, *, fit: bool) -> dict[str, Change]:
    """Shares of accelerators that more than one replica wants. Raises ConfigError where they do not add up."""
    wanting = [one for one in known if _wants_devices(one, machine)]
    refused = _refused([one.spec for one in wanting], machine)
    if not refused:
        return {}
    portions = _divided(wanting, machine)
    what = _promised(wanting, refused, machine)
    if portions is None:
        raise ConfigError(
            f"{what}: no shares of it would fit. Take fewer or smaller models, quantised ones, or run some on the "
            "processor (options.devices: []); moorage plan tells what each takes"
        )
    if fit:
        return portions
    raise ConfigError(f"{what}: {listed(portions)} would fit: set that in their options, or start with --fit")


def _wants_devices(one: Known, machine: Machine) -> bool:
    """Whether it would compute on accelerators that are here, had it this machine for itself."""
    options = one.spec.options
    if not machine.devices or options.devices == ():
        return False
    if one.facts is None:
        return options.memory_fraction is not None and not _refused([one.spec], machine)
    by_itself = size(alone(one.spec), one.facts, machine)
    return bool(by_itself.holds) and not by_itself.problem


def _refused(specs: Sequence[ModelSpec], machine: Machine) -> list[str]:
    """The models for which nothing is left, where each replica gets its share in the order of the configuration."""
    holds: dict[str, Hold] = {}
    refused: list[str] = []
    for spec in specs:
        for number in range(spec.replicas):
            try:
                holds[f"{spec.name}/{number}"] = grant(machine.devices, holds, wish_of(spec))
            except MoorageError:
                refused.append(spec.name)
                break
    return refused


def _divided(wanting: Sequence[Known], machine: Machine) -> dict[str, Change] | None:
    claims = [claim for one in wanting for claim in _claims(one, machine)]
    portions = divide(machine.devices, claims)
    if portions is None:
        return None
    changes: dict[str, Change] = {}
    for one in wanting:
        own = [portions[f"{one.spec.name}/{number}"] for number in range(one.spec.replicas)]
        options: dict[str, object] = {"memory_fraction": min(portion.share for portion in own)}
        if one.spec.options.devices is None and len(machine.devices) > 1 and len(own) == 1:
            options["devices"] = _names(own[0])
        changes[one.spec.name] = Change(model=one.spec.name, options=options)
    refused = _refused([changed(one.spec, changes[one.spec.name]) for one in wanting], machine)
    return None if refused else changes


def _claims(one: Known, machine: Machine) -> list[Claim]:
    """Of each replica; of a model whose files are not here what it asked for, since more is not known."""
    wish = wish_of(one.spec)
    devices: tuple[Device, ...] = ()
    if wish.named is not None:
        devices = grant(machine.devices, {}, wish).devices
    smallest = min(device.memory_bytes for device in machine.devices)
    memory = size(alone(one.spec), one.facts, machine).memory if one.facts is not None else None
    if memory is None:
        least, wanted = 0, int(smallest * (wish.share or 1.0))
    else:
        # A context that nobody asked for becomes what the share holds.
        free = one.spec.options.max_model_len is None
        shortest, common = ((memory.kv_bytes_per_token * tokens if free else 1 << 62) for tokens in (SHORTEST, COMMON))
        least = memory.least_bytes - max(0, memory.kv_least_bytes - shortest)
        fixed = memory.least_bytes - memory.kv_least_bytes
        wanted = fixed + CALLS * min(memory.kv_bytes_per_sequence, common)
    return [
        Claim(
            replica=f"{one.spec.name}/{number}",
            count=wish.count,
            least_bytes=least,
            wanted_bytes=wanted,
            devices=devices,
        )
        for number in range(one.spec.replicas)
    ]


def _promised(wanting: Sequence[Known], refused: Sequence[str], machine: Machine) -> str:
    shares = {one.spec.name: wish_of(one.spec).share for one in wanting}
    asked = [
        f"{one.spec.name} wants {share:.2f} of {_of_what(one.spec)}"
        if (share := shares[one.spec.name]) is not None
        else f"{one.spec.name}, which sets no options.memory_fraction, wants all of {_of_what(one.spec)}"
        for one in wanting
    ]
    total = sum((shares[one.spec.name] or 1.0) * one.spec.replicas * wish_of(one.spec).count for one in wanting)
    there = ", ".join(f"{device.index} ({device.name}, {human(device.memory_bytes)})" for device in machine.devices)
    return (
        f"the models want more of the accelerators than there is: {'; '.join(asked)}; that is {total:.2f}, "
        f"and there is {len(machine.devices)}: {there}. Nothing is left for {', '.join(refused)}"
    )


def _of_what(spec: ModelSpec) -> str:
    count = wish_of(spec).count
    cards = "a card" if count == 1 else f"{count} cards"
    return f"{cards} for each of {spec.replicas} replicas" if spec.replicas > 1 else cards


def _names(portion: Portion) -> tuple[str, ...]:
    return tuple(each.uuid if each.uuid.startswith(SLICE) else str(each.index) for each in portion.devices)


def alone(spec: ModelSpec) -> ModelSpec:
    """One replica that has its cards for itself."""
    one = spec.model_copy(update={"replicas": 1})
    return changed(one, Change(model=spec.name, options={"memory_fraction": None}))
