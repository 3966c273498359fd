"""Settings that make models fit: what was not said, made explicit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from moorage.config.model import ModelSpec
from moorage.core.facts import ModelFacts


@dataclass(frozen=True, kw_only=True)
class Known:
    """A model of the configuration, with what its files say where they are here."""

    spec: ModelSpec
    facts: ModelFacts | None


@dataclass(frozen=True, kw_only=True)
class Change:
    """Settings of one model that nobody made."""

    model: str
    options: Mapping[str, object]

    def __str__(self) -> str:
        return f"{self.model} {', '.join(f'{name} {_shown(value)}' for name, value in self.options.items())}"


def changed(spec: ModelSpec, change: Change | None) -> ModelSpec:
    if change is None:
        return spec
    return spec.model_copy(update={"options": spec.options.model_copy(update=dict(change.options))})


def listed(changes: Mapping[str, Change]) -> str:
    return "; ".join(str(change) for change in changes.values())


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, cast("tuple[object, ...]", value)))
    return f"{value:.2f}" if isinstance(value, float) else str(value)
