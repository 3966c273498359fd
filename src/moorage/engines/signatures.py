"""Known failures of engines, recognised by what they write as they die."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from moorage.core.ports import Diagnosis


@dataclass(frozen=True, kw_only=True)
class Signature:
    """One failure. Braces in `cause`, `fix` and `remedy` take what the pattern's groups found: `{0}` the first."""

    name: str
    """Stable, `ENGINE.FAILURE`: `vllm.kv-cache`."""
    pattern: str
    """A regular expression on the engine's last lines."""
    cause: str
    """One plain sentence without its full stop."""
    fix: str
    """What to do, by the names of our options."""
    source: str = ""
    """The public report of the log line."""
    remedy: Mapping[str, str] = field(default_factory=dict[str, str])
    """Options with which another try is safe: none that changes what clients were promised more than the failure
    already does. Empty where a person must decide. Options are written as in the configuration, `extra_args.NAME` and
    `env.NAME` below their maps; a value is one of the option, or `half` of what it was (`core.remedies`)."""


def diagnose(log: str, known: Iterable[Signature]) -> Diagnosis | None:
    """By the first signature that is found, so the particular ones come first. None where none is."""
    for signature in known:
        if match := re.search(signature.pattern, log):
            found = [group or "" for group in match.groups()]
            return Diagnosis(
                cause=signature.cause.format(*found),
                fix=signature.fix.format(*found),
                signature=signature.name,
                source=signature.source,
                remedy={option: value.format(*found) for option, value in signature.remedy.items()},
            )
    return None
