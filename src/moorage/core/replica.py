"""The life of a replica: which states follow which, whose they are, and when a start is tried again."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from moorage.config.model import ModelSpec
from moorage.wire.names import ReplicaState

Owner = Literal["controller", "worker"]

OWNER: Mapping[ReplicaState, Owner] = {
    "pending": "controller",
    "scheduled": "controller",
    "unreachable": "controller",
    "downloading": "worker",
    "starting": "worker",
    "ready": "worker",
    "draining": "worker",
    "stopped": "worker",
    "failed": "worker",
}
"""Who says that a replica is in a state."""

_FOLLOWERS: Mapping[ReplicaState, frozenset[ReplicaState]] = {
    "pending": frozenset({"scheduled", "stopped", "failed"}),
    "scheduled": frozenset({"pending", "downloading", "starting", "failed", "stopped"}),
    "downloading": frozenset({"starting", "failed", "draining", "stopped"}),
    # ready needs no start before it: a worker that comes back adopts what runs.
    "starting": frozenset({"ready", "failed", "draining", "stopped"}),
    "ready": frozenset({"failed", "draining", "stopped"}),
    "draining": frozenset({"stopped", "failed"}),
    "stopped": frozenset({"pending", "scheduled", "downloading", "starting"}),
    "failed": frozenset({"pending", "scheduled", "downloading", "starting", "draining", "stopped"}),
    "unreachable": frozenset(OWNER),
}


def allowed(old: ReplicaState, new: ReplicaState) -> bool:
    """Whether `new` may follow `old`.

    Silence can befall a replica in any state, and the same state may be said again with another reason. A worker's
    first word about a replica it adopted may be any state of its own.
    """
    if new in (old, "unreachable"):
        return True
    if old == "scheduled" and OWNER[new] == "worker":
        return True
    return new in _FOLLOWERS[old]


QUICK_RETRIES_S = (0.5, 1.0, 2.0)
"""Before the first restarts of an engine that had been ready."""
BACKOFF_S = 10.0
BACKOFF_MAX_S = 300.0
FAILED_STARTS_MAX = 5
STEADY_S = 60.0
"""Ready for so long, earlier trouble is forgotten."""


@dataclass(frozen=True)
class Restarts:
    """What has gone wrong lately, and so when to try again: 10·2ⁿ seconds, at most 300.

    An engine that was ready and crashed is started again almost at once, three times: most crashes are single (an
    operator's or the kernel's kill, one poisonous call), its files are warm, and calls are waiting. Only when it goes
    on crashing without having been steady in between does the back-off begin. A start that failed fails again most
    likely: it waits from the first time on, and after five in a row nobody tries again until something changes.
    """

    step: int = 0
    """Exponent of the next back-off."""
    failed_starts: int = 0
    """In a row: a start that reached ready ends the row."""
    quick: int = 0
    """Quick restarts used up."""
    backoff_s: float = BACKOFF_S

    def start_failed(self) -> "tuple[Restarts, float | None]":
        """After a start that never became ready. The delay is None when it is not to be tried again."""
        failed = self.failed_starts + 1
        after = replace(self, step=self.step + 1, failed_starts=failed)
        return after, None if failed >= FAILED_STARTS_MAX else self.delay_s

    def delayed(self) -> "tuple[Restarts, float]":
        """After something that heals without us, like a network away: waits longer each time, but never stops."""
        return replace(self, step=self.step + 1), self.delay_s

    def crashed(self, ready_for_s: float) -> "tuple[Restarts, float]":
        """After an engine that had been ready for so long ended by itself."""
        calm = self.forgotten() if ready_for_s >= STEADY_S else self
        if calm.quick < len(QUICK_RETRIES_S):
            return replace(calm, failed_starts=0, quick=calm.quick + 1), QUICK_RETRIES_S[calm.quick]
        return replace(calm, failed_starts=0, step=calm.step + 1), calm.delay_s

    def forgotten(self) -> "Restarts":
        """A clean slate: something changed."""
        return Restarts(backoff_s=self.backoff_s)

    @property
    def delay_s(self) -> float:
        return min(BACKOFF_MAX_S, self.backoff_s * 2.0 ** min(self.step, 16))


_DEFAULTS = ModelSpec(name="any", source="any").model_dump(mode="json", exclude={"name", "source"})
_NOT_THE_ENGINE = frozenset({"aliases", "replicas", "queue_size", "max_output_tokens", "start_timeout"})


def fingerprint(model: Mapping[str, Any]) -> str:
    """Of the parts of a model's section that its engine depends on: another one needs another start.

    What the gateway and the controller alone make use of (aliases, number of replicas, …) changes without one, and so
    do adapters where the engine can load them while it runs. What is left at its default does not count, so that an
    option that a newer version adds is no change.
    """
    kept = _said({key: value for key, value in model.items() if key not in _NOT_THE_ENGINE}, _DEFAULTS)
    if isinstance(options := kept.get("options"), dict):
        given = {key: value for key, value in cast("dict[str, Any]", options).items() if key != "lora"}
        kept["options"] = _said(given, _DEFAULTS["options"])
        if not kept["options"]:
            del kept["options"]
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


def _said(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in defaults or value != defaults[key]}


def loras(model: Mapping[str, Any]) -> dict[str, str]:
    """LoRA adapters of a model's section: name → source."""
    return dict(model.get("options", {}).get("lora", {}))
