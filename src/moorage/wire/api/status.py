"""`GET /api/v1/status` and the replicas of it: what administrators and the command line see."""

from msgspec import Struct

from moorage.wire.control import Progress
from moorage.wire.names import ReplicaState, Task


class ReplicaLoad(Struct, kw_only=True, frozen=True):
    """What the engine says of itself; null is unknown, never 0."""

    running: float | None
    queued: float | None
    kv_used: float | None
    """Share of the KV cache in use, 0 to 1."""


class Replica(Struct, kw_only=True, frozen=True):
    id: str
    model: str
    state: ReplicaState
    reason: str
    """Why it is in that state."""
    since: float
    """Unix time of the last change of state."""
    generation: int
    """Counts its starts."""
    engine: str
    worker: str
    capacity: int
    """Calls the engine works on at once."""
    restarts: int
    retry_at: float | None
    """Unix time of the next start, while it backs off."""
    pid: int | None
    progress: Progress | None
    """How far a download or a load is."""
    load: ReplicaLoad
    why: tuple[str, ...]
    """What `engine: auto` and the adapter chose, and why."""


class ModelStatus(Struct, kw_only=True, frozen=True):
    id: str
    task: Task | None
    names: tuple[str, ...]
    """Every name it answers to, its id first."""
    max_model_len: int | None
    url: str | None
    """Where it answers alone, if it has a port of its own."""
    state: ReplicaState
    targets: tuple[Replica, ...]
    parent: str | None = None
    """Of a LoRA adapter the model whose replicas serve it."""


class WorkerStatus(Struct, kw_only=True, frozen=True):
    id: str
    hostname: str
    cores: int
    memory_bytes: int
    state: str
    seen_s: float
    """Seconds since its last word."""


class GatewayStatus(Struct, kw_only=True, frozen=True):
    process: str
    pid: int
    connected_s: float


class Status(Struct, kw_only=True, frozen=True):
    version: str
    uptime_s: float
    models: tuple[ModelStatus, ...]
    workers: tuple[WorkerStatus, ...]
    gateways: tuple[GatewayStatus, ...]
