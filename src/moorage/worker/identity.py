"""Who a process is: a pid is reused, a pid with its start time and the machine's boot id is not.

Standard library only: the keeper lives with it.
"""

from __future__ import annotations

import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MARKER = "MOORAGE_REPLICA_DIR"
"""In the environment of a keeper, its engine and all they start: the replica's directory."""

_WANTED = {"keeper_pid", "keeper_started", "engine_pid", "engine_started", "pgid", "boot_id", "generation"}


def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def start_time(pid: int) -> int | None:
    """Clock ticks from boot to the start of a process; None when it is gone or only a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
    except OSError:
        return None
    # The name, in parentheses, may hold spaces and parentheses itself.
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def is_running(pid: int, started: int | None, boot: str) -> bool:
    """Whether the very process that was recorded still runs."""
    return started is not None and start_time(pid) == started and boot == boot_id()


def recorded_identity(directory: str) -> dict[str, Any] | None:
    """What a keeper wrote about itself and its engine, whether they still run or not."""
    try:
        with open(os.path.join(directory, "identity.json"), "rb") as file:
            identity: Any = json.load(file)
        return identity if set(identity) >= _WANTED else None
    except (OSError, ValueError, TypeError):  # not there, not JSON, not an object
        return None


def read_identity(directory: str) -> dict[str, Any] | None:
    """Of the keeper that runs for a replica's directory; None when it is gone or its pid is another process by now."""
    identity = recorded_identity(directory)
    if identity and is_running(identity["keeper_pid"], identity["keeper_started"], identity["boot_id"]):
        return identity
    return None


def marked(directory: str) -> list[int]:
    """Processes that carry the marker of a replica's directory, ours excepted. Zombies are not among them."""
    needle = f"{MARKER}={directory}".encode()
    return [pid for pid in _pids() if pid != os.getpid() and needle in _environment(pid) and start_time(pid)]


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _environment(pid: int) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []
