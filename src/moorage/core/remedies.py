"""What a start that failed may be tried again with: which options, to which values, and when rather not. Pure.

Two rules hold. What the user wrote is a promise to clients: it is never changed, but said what would work. And a size
is only ever lowered: memory that was promised to others stays theirs.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from moorage.config.model import EngineOptions
from moorage.core.ports import Diagnosis

REMEDIES_MAX = 2
"""Of one start: after so many tries it has failed."""
PORT = "port"
"""In a remedy: no option of ours, but another free port, which every try gets anyway."""
HALF = "half"
SIZES = frozenset({"max_model_len", "max_sequences", "batch_tokens", "memory_fraction"})
"""Options that are only lowered."""
MAPS = ("extra_args", "env")
"""Options that are maps: `extra_args.NAME` is one entry."""


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """Options that a start was given because the one before it failed."""

    options: dict[str, Any]
    """As in the configuration; `port` stands for another port."""
    cause: str
    signature: str = ""
    source: str = ""
    instead: dict[str, Any] = field(default_factory=dict[str, Any])
    """What they were, where that is known."""

    def __str__(self) -> str:
        return summary([self])


@dataclass(frozen=True)
class Decision:
    remedy: Remedy | None = None
    why_not: str = ""
    """A sentence for the user where there would be a remedy that is not for us to take."""


def decide(
    diagnosis: Diagnosis | None,
    options: EngineOptions,
    *,
    promised: Collection[str],
    used: Mapping[str, Any],
    tried: Sequence[Remedy] = (),
) -> Decision:
    """Whether to try a start once more, and with what.

    `options` are those the failed start was given, `used` what the engine's adapter chose where they are silent;
    `promised` are the options the user wrote, entries of maps as `extra_args.NAME`.
    """
    if diagnosis is None or not diagnosis.remedy:
        return Decision()
    was = {option: _was(option, options, used) for option in diagnosis.remedy}
    wanted = {option: _value(option, value, was[option]) for option, value in diagnosis.remedy.items()}
    wanted = {option: value for option, value in wanted.items() if _changes(option, value, was[option])}
    if not wanted or applied(options, wanted) is None:
        return Decision()
    kept = [option for option in wanted if option in promised]
    if kept:
        said = " and ".join(_shown(was[option]) for option in kept)
        return Decision(why_not=f"{changes(wanted)} may work; not tried, because the configuration says {said}")
    remedy = Remedy(
        options=wanted,
        cause=diagnosis.cause,
        signature=diagnosis.signature,
        source=diagnosis.source,
        instead={option: was[option] for option in wanted if was[option] is not None},
    )
    if len(tried) >= REMEDIES_MAX or any(one.options == remedy.options for one in tried):
        return Decision()
    return Decision(remedy)


def applied(options: EngineOptions, changed: Mapping[str, Any]) -> EngineOptions | None:
    """The options with these values; None where they are not the options' values."""
    data = options.model_dump()
    for option, value in changed.items():
        name, dot, entry = option.partition(".")
        if option == PORT:
            continue
        if dot and name in MAPS:
            data[name] = {**data[name], entry: value}
        else:
            data[option] = value
    try:
        return EngineOptions.model_validate(data)
    except ValidationError:
        return None


def with_remedies(options: EngineOptions, remedies: Sequence[Remedy]) -> EngineOptions:
    """The options changed by all of them, the later ones last; one that no longer fits changes nothing."""
    for remedy in remedies:
        options = applied(options, remedy.options) or options
    return options


def summary(remedies: Sequence[Remedy]) -> str:
    """`options.max_model_len 8192 instead of 32768: the KV cache does not fit (vllm.kv-cache, https://…)`."""
    options: dict[str, Any] = {}
    instead: dict[str, Any] = {}
    for remedy in remedies:
        options |= remedy.options
        instead = {**remedy.instead, **instead}
    causes = dict.fromkeys(f"{remedy.cause}{reference(remedy.signature, remedy.source)}" for remedy in remedies)
    return f"{changes(options, instead)}: {'; '.join(causes)}"


def changes(options: Mapping[str, Any], instead: Mapping[str, Any] | None = None) -> str:
    """`options.max_model_len 8192 instead of 32768 and another port`."""
    parts: list[str] = []
    for option, value in options.items():
        if option == PORT:
            parts.append("another port")
            continue
        was = f" instead of {_shown(instead[option])}" if instead and option in instead else ""
        parts.append(f"options.{option} {_shown(value)}{was}")
    return " and ".join(parts)


def reference(signature: str, source: str) -> str:
    """` (NAME, LINK)` behind a sentence, as far as they are known."""
    known = ", ".join(filter(None, (signature, source)))
    return f" ({known})" if known else ""


def _was(option: str, options: EngineOptions, used: Mapping[str, Any]) -> Any:
    name, dot, entry = option.partition(".")
    if dot and name in MAPS:
        return getattr(options, name).get(entry)
    return used.get(option) or getattr(options, option, None)


def _value(option: str, wanted: Any, was: Any) -> Any:
    """A value as the options have it; None where it cannot be told."""
    if wanted == HALF:
        return was // 2 if isinstance(was, int) and not isinstance(was, bool) else None
    if option.startswith("env.") or not isinstance(wanted, str):
        return wanted
    try:
        found = json.loads(wanted)
    except ValueError:
        return wanted
    return found if isinstance(found, (int, float, bool)) else wanted


def _changes(option: str, value: Any, was: Any) -> bool:
    if value is None or value == was:
        return False
    if option not in SIZES or was is None:
        return True
    return isinstance(value, (int, float)) and value < was


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
