"""What a worker is told by whoever composes it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from moorage.core.replica import BACKOFF_S
from moorage.wire.control import Installation, Progress

Fetch = Callable[[str, str | None, Callable[[Progress], None] | None], Awaitable[Path]]
"""(source, sha256, on_progress) → the model's file on this machine. Raises ModelError."""

Installed = Callable[[], tuple[Installation, ...]]
"""The engines that are there to be started as processes, newest first. Blocks."""


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    id: str
    controller: str
    """`unix:/path` or `http://host:port`."""
    token: str
    """Shown to the controller, and demanded from callers of the worker's own API."""
    run_dir: Path
    """Sockets, identities and secrets of running replicas; one worker each."""
    log_dir: Path
    spool_dir: Path | None = None
    """Where engines may keep uploads, on a disk; None for the system's temporary folder."""
    api_socket: Path
    """Unix socket of the worker's own API."""
    keeper_lease_s: float = 600.0
    """How long engines outlive a worker that is gone."""
    drain_s: float = 30.0
    """How long calls in flight may go on when a replica is to stop."""
    backoff_s: float = BACKOFF_S
    """Before the first retry of a failed start; doubled each time."""
    probe_timeout_s: float = 30.0
    """Longest single readiness call."""
