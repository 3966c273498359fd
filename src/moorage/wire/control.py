"""Messages between a controller and its workers, the same over a Unix socket and over TLS.

The worker dials out: it says hello (`POST /internal/v1/workers`), follows its orders
(`GET /internal/v1/workers/{id}/orders`, one JSON object a line) and reports
(`POST /internal/v1/workers/{id}/report`) every second and on every change.
"""

from typing import Any, Literal

from msgspec import Struct

from moorage.wire.names import ReplicaState, Task

PRINCIPAL_HEADER = "X-Moorage-Principal"
"""In which a gateway names the user whose call it passes on to the controller."""


class Device(Struct, frozen=True, kw_only=True):
    """One accelerator of a machine, or one slice of a card that is partitioned."""

    kind: str
    """`cuda`."""
    index: int
    """As NVML counts, which is by PCI bus; engines are told to count the same way."""
    name: str
    memory_bytes: int
    uuid: str = ""
    """`GPU-…` or, of a slice, `MIG-…`: what CUDA_VISIBLE_DEVICES takes as well as an index."""
    compute_capability: str = ""
    """`9.0`; empty where it is unknown."""
    driver: str = ""


class Installation(Struct, frozen=True, kw_only=True):
    """An engine that is there to be started as a process."""

    engine: str
    """Its name in the registry."""
    version: str
    command: tuple[str, ...]
    """What starts it, without arguments: `(…/bin/vllm, serve)`."""
    flags: tuple[str, ...] | None = None
    """The flags its own `--help` tells, `--max-model-len` and the like; None where it could not be asked."""
    env: dict[str, str] = {}
    """What it needs in its environment wherever it runs, such as libraries loaded beforehand."""
    variant: str = ""
    """What it was built to compute on: `cpu` or `cuda`; empty where nobody knows."""
    managed: bool = False
    """Installed by `moorage engine install`; else found on PATH or named in the configuration."""


class Machine(Struct, frozen=True, kw_only=True):
    """What a worker has to run replicas on."""

    hostname: str
    cores: int
    """As many as this process may keep busy."""
    memory_bytes: int
    cpus: tuple[int, ...] = ()
    """The processors it may run on, as the kernel numbers them; more than `cores` where its time is limited."""
    devices: tuple[Device, ...] = ()
    installations: tuple[Installation, ...] = ()
    """Newest first, managed ones before others."""


class Hello(Struct, frozen=True, kw_only=True):
    """A worker introduces itself. A second live `incarnation` of one worker id is refused with 409."""

    worker: str
    incarnation: str
    version: str
    address: str
    """Where the worker's own API answers: `unix:/path` or `http://host:port`."""
    machine: Machine


class Welcome(Struct, frozen=True, kw_only=True):
    report_every_s: float
    lease_s: float
    """A worker silent for so long is unreachable."""


class ReplicaOrder(Struct, frozen=True, kw_only=True):
    """One replica that should run here. The worker starts what is ordered and stops what no longer is."""

    replica: str
    model: dict[str, Any]
    """The model's section of the configuration (`config.ModelSpec`), as JSON, its secrets masked."""
    api_key: str = ""
    """The model's key at a server elsewhere: in orders alone, which no log and no status shows."""
    attempt: int = 0
    """Raised by the controller to lift a stop after failed starts ("something changed")."""


class Orders(Struct, frozen=True, kw_only=True):
    """All replicas this worker should run; a later message replaces an earlier one. Repeated as a heartbeat."""

    seq: int
    replicas: tuple[ReplicaOrder, ...]


class Load(Struct, frozen=True, kw_only=True):
    """What an engine says of itself. None is unknown, never 0."""

    running: float | None = None
    queued: float | None = None
    kv_used: float | None = None
    """Share of the KV cache in use, 0 to 1."""
    progress: float | None = None
    """Monotonic while the engine works: prompt and generated tokens or decode steps."""


class Progress(Struct, frozen=True, kw_only=True):
    """How far a download or a load is. `total` None is unknown."""

    what: str
    done: int
    total: int | None = None


class Manners(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How calls are put to an engine that does not take all of them as they come."""

    adds: dict[str, Any] = {}
    """Fields added to every call that generates."""
    renames: dict[str, str] = {}
    """Field of a call that generates → how the engine spells it; left alone where a call has both."""
    says_done: bool = True
    """Whether its streams end with [DONE]; else with their connection, behind a finish_reason."""
    paths: dict[str, str] = {}
    """Public path → where the engine serves it; empty where it does not."""
    tokens: Literal["vllm", "llama.cpp"] = "vllm"
    """In whose shapes it counts tokens."""
    forces_tools: bool = True
    """Whether it heeds a `tool_choice` that demands a call."""
    lora_name: str = "{lora}"
    """How a call for a LoRA adapter names it; {model} is what the engine calls the model."""
    elastic: bool = False
    """Whether it answers /scale_elastic_ep: more or fewer data parallel ranks while it serves."""


class ReplicaReport(Struct, frozen=True, kw_only=True):
    replica: str
    generation: int
    """Counts starts of this replica on this worker; a new engine process is a new generation."""
    state: ReplicaState
    reason: str
    since: float
    """Unix time in seconds of the last change of state."""
    engine: str = ""
    why: tuple[str, ...] = ()
    """What `engine: auto` and the adapter chose, and why, one line each."""
    address: str = ""
    token: str = ""
    """Bearer token the engine wants, empty for none."""
    served_name: str = ""
    """The name by which the engine knows the model."""
    loras: tuple[str, ...] = ()
    """LoRA adapters it serves beside the model, by the names clients ask for."""
    task: Task | None = None
    capacity: int = 0
    max_model_len: int | None = None
    cancels_unary: bool = True
    echoes_model: bool = False
    manners: Manners = Manners()
    pid: int | None = None
    memory_bytes: int = 0
    """Of its machine's memory, as its engine's adapter estimates; 0 where that is not known."""
    restarts: int = 0
    retry_at: float | None = None
    """Unix time of the next start while backing off."""
    progress: Progress | None = None
    load: Load = Load()


class Report(Struct, frozen=True, kw_only=True):
    incarnation: str
    replicas: tuple[ReplicaReport, ...]
