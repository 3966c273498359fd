"""What a configured model would take on a machine, as its engine's adapter says: nothing is loaded or started."""

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from moorage.config.model import ModelSpec
from moorage.core.devices import Hold, grant, wish_of
from moorage.core.facts import ModelFacts
from moorage.core.memory import MemoryEstimate, shortage
from moorage.core.ports import Launch
from moorage.engines.choose import Choice, choose, offered, rehearsal
from moorage.errors import MoorageError
from moorage.wire.control import Machine

GROWTH = 1.25
LARGEST_BYTES = 1 << 50
"""Where looking for a machine that is large enough ends."""
STEPS = 6
"""Halvings of what is between a machine too small and one large enough."""


@dataclass(frozen=True, kw_only=True)
class Sized:
    """One model on one machine. Without `problem` it can start there, as far as it alone is concerned."""

    spec: ModelSpec
    facts: ModelFacts
    engine: str = ""
    launch: Launch | None = None
    holds: tuple[Hold, ...] = ()
    """What each replica would have of the accelerators; empty on the processor."""
    problem: str = ""
    crowded: bool = False
    """Whether the problem is that others have the devices it wants."""

    @property
    def memory(self) -> MemoryEstimate | None:
        return self.launch.memory if self.launch is not None else None

    @property
    def processor_bytes(self) -> int:
        """Of the machine's memory, all replicas together, without the prompts they may keep."""
        return self.memory.started_bytes * self.spec.replicas if self.memory is not None else 0

    @property
    def whole_bytes(self) -> int:
        """With the prompts they may keep."""
        return self.memory.processor_bytes * self.spec.replicas if self.memory is not None else 0


def size(spec: ModelSpec, facts: ModelFacts, machine: Machine, held: Mapping[str, Hold] | None = None) -> Sized:
    """`held` are the shares that others have already, by replica. Raises nothing for what does not fit."""
    try:
        choice = choose(spec, facts, machine)
    except MoorageError as error:
        return Sized(spec=spec, facts=facts, problem=error.message)
    engine = choice.engine.name
    holds = dict(held or {})
    own: list[Hold] = []
    try:
        for number in range(spec.replicas if _computes_on_devices(spec, choice) else 0):
            hold = grant(machine.devices, holds, wish_of(spec))
            holds[f"{spec.name}/{number}"] = hold
            own.append(hold)
    except MoorageError as error:
        return Sized(spec=spec, facts=facts, engine=engine, problem=error.message, crowded=True)
    devices = own[0].devices if own else ()
    try:
        launch = choice.engine.launch(rehearsal(spec, facts, offered(machine, spec), devices))
    except MoorageError as error:
        return Sized(spec=spec, facts=facts, engine=engine, holds=tuple(own), problem=error.message)
    smallest = min((device.memory_bytes * hold.share for hold in own for device in hold.devices), default=0)
    lack = shortage(launch.memory, machine.memory_bytes, smallest)
    return Sized(spec=spec, facts=facts, engine=engine, launch=launch, holds=tuple(own), problem=lack)


def least(spec: ModelSpec, facts: ModelFacts, machine: Machine) -> Sized | None:
    """On the smallest machine that would do, made larger from this one in memory and in that of its accelerators.

    None where no larger one helps: what is wrong is something else.
    """
    low, high, found = 1.0, 1.0, None
    while found is None:
        low, high = high, high * GROWTH
        if machine.memory_bytes * high > LARGEST_BYTES:
            return None
        tried = size(spec, facts, _grown(machine, high))
        if not tried.problem:
            found = tried
    for _ in range(STEPS):
        middle = (low + high) / 2
        tried = size(spec, facts, _grown(machine, middle))
        if tried.problem:
            low = middle
        else:
            high, found = middle, tried
    return found


def _grown(machine: Machine, factor: float) -> Machine:
    devices = tuple(replace(each, memory_bytes=int(each.memory_bytes * factor)) for each in machine.devices)
    return replace(machine, memory_bytes=int(max(1 << 20, machine.memory_bytes) * factor), devices=devices)


def _computes_on_devices(spec: ModelSpec, choice: Choice) -> bool:
    return bool(choice.accelerator) and spec.options.devices != ()
