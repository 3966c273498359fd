"""Which engine runs a model: the one named, or with `auto` the best of those that can."""

from collections.abc import Iterable
from typing import NamedTuple

from moorage.config.model import ModelSpec
from moorage.core.facts import ModelFacts
from moorage.core.ports import Engine, Support
from moorage.engines.registry import load, registered
from moorage.errors import EngineError
from moorage.wire.control import Machine


class Choice(NamedTuple):
    engine: Engine
    why: tuple[str, ...]
    """One line an engine, the chosen one first."""


def choose(spec: ModelSpec, facts: ModelFacts, machine: Machine) -> Choice:
    """Raises EngineError with each engine's own reason where none can."""
    if spec.engine != "auto":
        engine = load(spec.engine)
        support = engine.supports(facts, machine)
        if not support.ok:
            raise EngineError(f"{engine.name} cannot run model {spec.name!r}: {support.why}")
        return Choice(engine, (f"{engine.name}: named by the configuration",))
    return best_of(registered(), spec.name, facts, machine)


def best_of(engines: Iterable[Engine], model: str, facts: ModelFacts, machine: Machine) -> Choice:
    """The engine of the highest rank. Raises EngineError."""
    asked = [(engine, engine.supports(facts, machine)) for engine in engines]
    able = [(engine, support) for engine, support in asked if support.ok]
    if not able:
        reasons = "; ".join(f"{engine.name}: {support.why}" for engine, support in asked)
        raise EngineError(f"no engine can run model {model!r} here: {reasons}")
    best, best_support = max(able, key=_rank)
    others = [_line(engine, support) for engine, support in asked if engine is not best]
    return Choice(best, (f"{best.name}: {best_support.why}", *others))


def _rank(entry: tuple[Engine, Support]) -> int:
    return entry[1].rank


def _line(engine: Engine, support: Support) -> str:
    return f"not {engine.name}: {'ranked lower; ' if support.ok else ''}{support.why}"
