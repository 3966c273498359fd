"""Which engine runs a model: the one named, or with `auto` the best of those that can do all that is asked."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from typing import NamedTuple

from msgspec.structs import replace

from moorage.config.model import ModelSpec
from moorage.core.devices import wish_of
from moorage.core.facts import ModelFacts
from moorage.core.memory import shortage
from moorage.core.ports import Engine, LaunchOrder, Support
from moorage.engines.libraries import LIBRARIES
from moorage.engines.registry import load, registered
from moorage.errors import EngineError
from moorage.wire.control import Device, Installation, Machine


class Choice(NamedTuple):
    engine: Engine
    why: tuple[str, ...]
    """One line an engine, the chosen one first."""
    accelerator: str
    """The kind of devices it computes on; empty for the processor."""


def choose(spec: ModelSpec, facts: ModelFacts, machine: Machine) -> Choice:
    """Raises EngineError with each engine's own reason where none can."""
    offer = offered(machine, spec)
    wanted = facts if spec.task == "auto" else dataclasses.replace(facts, task=spec.task)
    if spec.engine != "auto":
        name, version = pinned(spec.engine)
        engine = load(name)
        if version is None and "==" in spec.engine:
            raise EngineError(f"model {spec.name!r}: engine {spec.engine!r} names no version behind ==; add one")
        if version is not None:
            _check_pin(spec, name, version, machine)
        support = engine.supports(wanted, offer)
        if not support.ok:
            raise EngineError(f"{spec.engine} cannot run model {spec.name!r}: {support.why}")
        return Choice(engine, (f"{spec.engine}: named by the configuration",), support.accelerator)
    return best_of(registered(), spec.name, wanted, offer, trial(spec, facts, offer))


def pinned(engine: str) -> tuple[str, str | None]:
    """An engine's name and the version it is pinned to: `vllm==0.32.0`."""
    name, _, version = engine.partition("==")
    return name.strip(), version.strip() or None


def offered(machine: Machine, spec: ModelSpec) -> Machine:
    """What of a machine a model may use: of its engine the version it is pinned to, devices unless it wants none."""
    engine, version = pinned(spec.engine)
    kept = [found for found in machine.installations if found.engine != engine or version in (None, found.version)]
    devices = () if spec.options.devices == () else machine.devices
    return replace(machine, installations=tuple(kept), devices=devices)


def installed(machine: Machine, engine: str) -> Installation | None:
    """The installation an adapter should start: the first of its engine."""
    return next((found for found in machine.installations if found.engine == engine), None)


def rehearsal(spec: ModelSpec, facts: ModelFacts, machine: Machine, devices: tuple[Device, ...]) -> LaunchOrder:
    """The order of a start that never happens, for what an adapter would do."""
    return LaunchOrder(
        replica=spec.name,
        model=spec,
        facts=facts,
        machine=machine,
        socket="/run/rehearsal/engine.sock",
        port=1,
        token="",
        loras=spec.options.lora,
        devices=devices,
    )


Trial = Callable[[Engine], str]
"""What keeps an engine that reads the model from doing all that is asked of it; empty where nothing does."""


def trial(spec: ModelSpec, facts: ModelFacts, machine: Machine) -> Trial:
    """An option that one engine lacks leads to the next, not to a failed start."""
    order = rehearsal(spec, facts, machine, machine.devices[: wish_of(spec).count])

    def of(engine: Engine) -> str:
        try:
            launch = engine.launch(order)
        except EngineError as error:
            return error.message
        share = spec.options.memory_fraction or 1.0
        smallest = min((device.memory_bytes * share for device in order.devices), default=0)
        return shortage(launch.memory, machine.memory_bytes, smallest)

    return of


def best_of(
    engines: Iterable[Engine], model: str, facts: ModelFacts, machine: Machine, refuses: Trial = lambda _: ""
) -> Choice:
    """The engine of the highest rank that refuses nothing. Raises EngineError."""
    asked = [(engine, engine.supports(facts, machine)) for engine in engines]
    able = sorted(((engine, support) for engine, support in asked if support.ok), key=_rank, reverse=True)
    if not able:
        first = sorted(asked, key=lambda entry: not entry[1].absent)  # what an install would mend
        reasons = "; ".join(f"{engine.name}: {support.why}" for engine, support in first)
        raise EngineError(f"no engine can run model {model!r} here: {reasons}")
    refusals: dict[str, str] = {}
    best, support = able[0]
    if len(able) > 1:  # of one alone, its own refusal at the start says best what is wrong
        willing = ((engine, found) for engine, found in able if not refusals.setdefault(engine.name, refuses(engine)))
        best, support = next(willing, able[0])
    others = [_line(engine, found, refusals) for engine, found in asked if engine is not best]
    return Choice(best, (f"{best.name}: {support.why}", *others), support.accelerator)


def _check_pin(spec: ModelSpec, name: str, version: str, machine: Machine) -> None:
    """Raises EngineError where another version is here than the one pinned."""
    said = f"model {spec.name!r}: engine {spec.engine!r}:"
    if library := LIBRARIES.get(name):
        try:
            have = metadata.version(library.package)
        except metadata.PackageNotFoundError:  # which the engine tells better
            return
        if have != version:
            raise EngineError(
                f"{said} {name} is a part of Moorage, here as {library.package} {have}; leave out =={version}"
            )
        return
    there = [found.version for found in machine.installations if found.engine == name]
    if version not in there and ":" not in name:
        others = f", only {', '.join(one or 'one of unknown version' for one in there)}" if there else ""
        raise EngineError(f"{said} this version is not installed{others}: moorage engine install {name}=={version}")


def _rank(entry: tuple[Engine, Support]) -> int:
    return entry[1].rank


def _line(engine: Engine, support: Support, refusals: Mapping[str, str]) -> str:
    if refusal := refusals.get(engine.name):
        return f"not {engine.name}: {refusal}"
    return f"not {engine.name}: {'ranked lower; ' if support.ok else ''}{support.why}"
