"""The ports of the house: what a room needs from another without knowing who is behind it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from moorage.config.model import ModelSpec
from moorage.core.facts import ModelFacts
from moorage.core.memory import MemoryEstimate
from moorage.wire.control import Device, Load, Machine, Manners
from moorage.wire.names import Task


@dataclass(frozen=True)
class Support:
    """Whether an engine can serve a model on a machine, how well, and why, in words a user reads."""

    ok: bool
    why: str
    rank: int = 0
    """Among those that can, `auto` takes the highest."""
    accelerator: str = ""
    """The kind of devices it would compute on here (`cuda`); empty for the processor."""
    absent: bool = False
    """Whether it cannot for no other reason than that it is not installed."""


@dataclass(frozen=True, kw_only=True)
class LaunchOrder:
    """What an adapter is told when it plans a start."""

    replica: str
    model: ModelSpec
    facts: ModelFacts
    machine: Machine
    socket: str
    """A Unix socket path, private and short enough to bind, on which the engine should listen."""
    token: str
    """A fresh secret the engine may demand from its callers."""
    port: int = 0
    """A loopback port that was free a moment ago, for engines that cannot listen on a Unix socket."""
    spool_dir: str = ""
    """A folder with room for uploads, on a disk; empty for the system's temporary one."""
    loras: Mapping[str, str] = field(default_factory=dict[str, str])
    """LoRA adapters (options.lora) by the name they are to be served under → their folder on this machine."""
    devices: tuple[Device, ...] = ()
    """The accelerators this replica was given; none means the processor. The worker makes them visible, in this
    order, before the adapter's own environment is applied."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """A planned start: what to run and how to reach what then runs."""

    argv: tuple[str, ...]
    address: str
    """`unix:/path` or `http://127.0.0.1:port`."""
    token: str
    """Bearer token callers must send, empty for none."""
    served_name: str
    capacity: int
    """Calls the engine works on at once."""
    max_model_len: int | None
    task: Task
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    """Added to a clean environment; secrets go here or into `files`, never into argv."""
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    """Path → content, written with mode 0600 before the start and removed after the stop."""
    loras: Mapping[str, str] = field(default_factory=dict[str, str])
    """LoRA adapters served beside the model, name → folder."""
    manners: Manners = field(default_factory=Manners)
    """How calls are put to it, where not as they come."""
    memory: MemoryEstimate | None = None
    """What it will take, by part; None where the files do not say enough."""
    why: tuple[str, ...] = ()
    """What was chosen for this file and machine, one line each: `8192 tokens of context: …`."""


@dataclass(frozen=True)
class Probe:
    """A real call that an engine must answer with 2xx before it is ready."""

    method: str
    path: str
    body: bytes | None = None
    content_type: str = "application/json"


@dataclass(frozen=True)
class Diagnosis:
    """Why a start failed, and what to do."""

    cause: str
    fix: str
    signature: str = ""
    """Which known failure it is: `vllm.kv-cache`."""
    source: str = ""
    """The public report of the log line it was recognised by."""
    remedy: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Options with which another try is safe and may work; empty where there are none."""


class Engine(Protocol):
    """An engine adapter: data and small pure functions, one module per engine, no sockets and no processes."""

    name: str
    proven: str
    """The version it was last seen running with in our tests; empty where it never ran."""
    metrics_path: str
    """Prometheus text; empty where the engine has none."""
    cancels_unary: bool
    """Whether a dropped non-streaming call stops its work. Where not, it is always asked for a stream."""
    echoes_model: bool
    """Whether replies carry the name the call asked for, so that they can pass untouched."""

    def supports(self, facts: ModelFacts, machine: Machine) -> Support: ...

    def launch(self, order: LaunchOrder) -> Launch:
        """Plan a start. Raises EngineError for an option this engine lacks and has nothing near to."""
        ...

    def probe(self, launch: Launch) -> Probe: ...

    def observe(self, metrics: Mapping[str, float]) -> Load:
        """Read a scrape (metric name, labels summed) in the common vocabulary. Missing is unknown, never 0."""
        ...

    def diagnose(self, log: str) -> Diagnosis | None:
        """The plain cause of a failed start in the engine's own last lines, if it is known."""
        ...


@runtime_checkable
class LoraLoading(Protocol):
    """What an engine has besides where LoRA adapters come and go while it runs, if it was started with any."""

    def load_lora(self, name: str, path: str) -> Probe:
        """The call by which it serves the adapter in the folder `path` as `name`."""
        ...

    def unload_lora(self, name: str) -> Probe: ...
