"""What models would take on a machine before anything starts: by part, where, whether they fit, what would help."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from moorage.config.model import ModelSpec
from moorage.config.units import Unfit, size_bytes
from moorage.core.devices import Hold, key
from moorage.core.memory import MemoryEstimate, usable_bytes
from moorage.core.text import human
from moorage.engines.choose import pinned
from moorage.engines.registry import registered
from moorage.errors import ConfigError, MoorageError
from moorage.models.files import facts as read_facts
from moorage.models.store import Entry
from moorage.serve.fit.change import Change, Known
from moorage.serve.fit.devices import alone
from moorage.serve.fit.room import fitted
from moorage.serve.fit.savings import savings
from moorage.serve.sizing import Sized, least, size
from moorage.serve.whereabouts import NotHere, located
from moorage.wire.control import Device, Installation, Machine

ASSUMED = ("vllm", "llama-server")
"""Installed on a machine that is only described, if it has accelerators."""
MOST_CARDS = 64
_CARDS = re.compile(r"(?:(\d{1,4})\s*[x×*]\s*)?(.+)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One model. `memory` is None where nothing can be said of it, and then `problem` or `absent` says why."""

    spec: ModelSpec
    absent: NotHere | None = None
    sized: Sized | None = None
    memory: MemoryEstimate | None = None
    """Of a model that does not fit: what it would take on the smallest machine that would do."""
    problem: str = ""
    savings: tuple[Change, ...] = ()
    """Each alone makes it fit, or the one that is several settings does."""

    @property
    def fits(self) -> bool:
        return self.absent is None and not self.problem


@dataclass(frozen=True, kw_only=True)
class Room:
    """One memory: the machine's own, or an accelerator's."""

    name: str
    has_bytes: int
    usable_bytes: int
    taken_bytes: int
    """By the models that fit, at their most."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    machine: Machine
    models: tuple[Planned, ...]
    rooms: tuple[Room, ...]
    together: tuple[Change, ...] = ()
    """Settings with which all of them fit, where some do not beside the others."""
    made_up: bool = False
    """Whether the machine is one that was only described."""

    @property
    def fits(self) -> bool:
        return all(model.fits or model.absent for model in self.models)


def plan(
    specs: Sequence[ModelSpec],
    machine: Machine,
    entries: Mapping[str, Entry],
    environ: Mapping[str, str] | None = None,
    *,
    made_up: bool = False,
) -> Plan:
    """The models one after the other, each beside those before it. Only headers of files are read."""
    beside = _Taken(machine)
    planned = tuple(_planned(spec, beside, entries, os.environ if environ is None else environ) for spec in specs)
    return Plan(
        machine=machine, models=planned, rooms=beside.rooms(), together=_together(planned, machine), made_up=made_up
    )


def cards(text: str) -> tuple[int, ...]:
    """`2x24GiB,80GB` → bytes of each card. Raises ConfigError."""
    found: list[int] = []
    for part in text.split(","):
        match = _CARDS.fullmatch(part.strip())
        try:
            size = size_bytes(match[2]) if match else 0
        except Unfit:
            size = 0
        count = int(match[1] or 1) if match else 0
        if not size or not count or len(found) + count > MOST_CARDS:
            raise ConfigError(
                f"{text!r} are no accelerators: write how many and how much memory each has, like 2x24GiB or "
                f"24GiB,80GiB ({MOST_CARDS} at most)"
            )
        found += [size] * count
    return tuple(found)


def described(
    here: Machine, specs: Sequence[ModelSpec], *, memory_bytes: int | None, cards_bytes: Sequence[int]
) -> Machine:
    """A machine that is not this one, where ASSUMED engines and those that models name count as installed."""
    devices = tuple(
        Device(kind="cuda", index=index, name="described", memory_bytes=size, uuid=f"GPU-{index}")
        for index, size in enumerate(cards_bytes)
    )
    named = dict(pinned(spec.engine) for spec in specs)
    installed = tuple(
        Installation(
            engine=engine.name,
            version=named.get(engine.name) or engine.proven.partition("+")[0].partition(" ")[0] or "0",
            command=(engine.name,),
        )
        for engine in registered()
        if engine.name in (*ASSUMED, *named)
    )
    return replace(
        here,
        hostname="described",
        memory_bytes=here.memory_bytes if memory_bytes is None else memory_bytes,
        devices=devices,
        installations=installed if devices else here.installations,
    )


@dataclass
class _Taken:
    """What the models before this one have taken."""

    machine: Machine
    processor_bytes: int = 0
    holds: dict[str, Hold] = field(default_factory=dict[str, Hold])
    cards: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def left_bytes(self) -> float:
        return usable_bytes(self.machine.memory_bytes) - self.processor_bytes

    def add(self, sized: Sized) -> None:
        self.processor_bytes += sized.processor_bytes
        for number, hold in enumerate(sized.holds):
            self.holds[f"{sized.spec.name}/{number}"] = hold
            for device in hold.devices:
                taken = sized.memory.total_bytes if sized.memory else 0
                self.cards[key(device)] = self.cards.get(key(device), 0) + taken

    def rooms(self) -> tuple[Room, ...]:
        own = self.machine.memory_bytes
        return (
            Room(
                name="processor",
                has_bytes=own,
                usable_bytes=usable_bytes(self.machine.memory_bytes),
                taken_bytes=self.processor_bytes,
            ),
            *(
                Room(
                    name=f"{each.kind} {each.index}",
                    has_bytes=each.memory_bytes,
                    usable_bytes=each.memory_bytes,
                    taken_bytes=self.cards.get(key(each), 0),
                )
                for each in self.machine.devices
            ),
        )


def _planned(spec: ModelSpec, beside: _Taken, entries: Mapping[str, Entry], environ: Mapping[str, str]) -> Planned:
    if spec.url is not None:
        return Planned(spec=spec)  # a server elsewhere runs it
    try:
        path = located(spec.source, entries, environ)
        if isinstance(path, NotHere):
            return Planned(spec=spec, absent=path)
        facts = read_facts(path)
    except (MoorageError, OSError) as error:
        return Planned(spec=spec, problem=error.message if isinstance(error, MoorageError) else str(error))
    machine = beside.machine
    sized = size(spec, facts, machine, beside.holds)
    if not sized.problem and sized.processor_bytes <= beside.left_bytes:
        beside.add(sized)
        return Planned(spec=spec, sized=sized, memory=sized.memory)
    problem = sized.problem or _beside(sized, beside)
    helping = savings(spec, facts, machine, beside.holds, beside.left_bytes)
    if sized.problem:
        roomy = least(spec, facts, machine)
        if roomy is not None and not sized.crowded:
            problem, sized = _too_large(roomy, machine), roomy
    return Planned(spec=spec, sized=sized, memory=sized.memory, problem=problem, savings=helping)


def _too_large(roomy: Sized, machine: Machine) -> str:
    """What an adapter says in its own words, in ours: of which memory there is too little."""
    memory = roomy.memory
    if memory is None:
        return "it needs more memory than this machine has"
    if not memory.devices:
        usable = human(usable_bytes(machine.memory_bytes))
        return f"it needs {human(memory.total_bytes)} of memory, and may use {usable} of this machine"
    largest = max(each.memory_bytes for each in machine.devices)
    each = "each of " if memory.devices > 1 else ""
    cards = f"{each}{memory.devices} accelerator{'s' if memory.devices > 1 else ''}"
    return f"it needs {human(memory.least_bytes)} of {cards}, and the largest here has {human(largest)}"


def _beside(sized: Sized, beside: _Taken) -> str:
    left = human(max(0.0, beside.left_bytes))
    return f"it needs {human(sized.processor_bytes)} of memory, and the models before it leave {left}"


def _together(planned: Sequence[Planned], machine: Machine) -> tuple[Change, ...]:
    sized = [model.sized for model in planned if model.sized is not None]
    if len(sized) < 2 or all(model.fits for model in planned):
        return ()
    known = [Known(spec=each.spec, facts=each.facts) for each in sized]
    if any(size(alone(each.spec), each.facts, machine).problem for each in sized):
        return ()
    try:
        return tuple(fitted(known, machine, fit=True)[0].values())
    except ConfigError:
        return ()


def document(made: Plan) -> dict[str, Any]:
    """The plan for programs. Sizes are in bytes."""
    machine = made.machine
    return {
        "fits": made.fits,
        "machine": {
            "memory_bytes": machine.memory_bytes,
            "devices": [
                {"kind": each.kind, "index": each.index, "name": each.name, "memory_bytes": each.memory_bytes}
                for each in machine.devices
            ],
            "described": made.made_up,
        },
        "rooms": [
            {"name": r.name, "memory_bytes": r.has_bytes, "usable_bytes": r.usable_bytes, "taken_bytes": r.taken_bytes}
            for r in made.rooms
        ],
        "models": [_model(model) for model in made.models],
        "together": {change.model: dict(change.options) for change in made.together},
    }


def _model(model: Planned) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": model.spec.name,
        "source": model.absent.source if model.absent else model.spec.source,
        "replicas": model.spec.replicas,
        "fits": None if model.absent else model.fits,
        "problem": f"{model.absent.how}" if model.absent else model.problem,
    }
    if model.sized is not None:
        launch = model.sized.launch
        found |= {
            "engine": model.sized.engine,
            "devices": [[each.index for each in hold.devices] for hold in model.sized.holds],
            "calls": launch.capacity if launch else None,
            "context": launch.max_model_len if launch else None,
        }
    if model.memory is not None:
        found["memory"] = parts(model.memory)
    found["savings"] = [dict(change.options) for change in model.savings]
    return found


def parts(memory: MemoryEstimate) -> dict[str, int]:
    """In bytes: of the machine's memory; with `devices`, of each of them, and `host_bytes` of the machine's."""
    return {
        "weights_bytes": memory.weights_bytes,
        "kv_bytes": memory.kv_bytes,
        "compute_bytes": memory.compute_bytes,
        "process_bytes": memory.process_bytes,
        "prompt_cache_bytes": memory.cache_bytes,
        "total_bytes": memory.total_bytes,
        "least_bytes": memory.least_bytes,
        "kv_bytes_per_token": memory.kv_bytes_per_token,
        "devices": memory.devices,
        "host_bytes": memory.host_bytes,
    }
