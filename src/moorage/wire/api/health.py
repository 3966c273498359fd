"""What a gateway says of itself: to probes, load balancers and people."""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from moorage.wire.names import ReplicaState


class ModelHealth(Struct, kw_only=True, frozen=True):
    """`ready` when any replica is, otherwise the state of the one furthest along."""

    state: ReplicaState
    reason: str | UnsetType = UNSET
    """Why it is in that state: told to callers who may use the models, since it may quote paths and logs."""
    ready: int
    """Replicas that can answer."""
    replicas: int


class Health(Struct, kw_only=True, frozen=True):
    status: Literal["healthy", "degraded"]
    """degraded where a model that should run has no ready replica."""
    models: dict[str, ModelHealth]


class Readiness(Struct, kw_only=True, frozen=True):
    status: Literal["ready", "not ready"]
    models: tuple[str, ...]
    waiting_for: tuple[str, ...] | UnsetType = UNSET
    """Models that should run and have no ready replica; left out where there are none."""


class Version(Struct, kw_only=True, frozen=True):
    version: str


class ServerLoad(Struct, kw_only=True, frozen=True):
    server_load: int
    """Calls being answered by all gateways of this machine."""
