"""Who a process is: a pid is reused, a pid with its start time and the machine's boot id is not.

Standard library only: the keeper lives with it.
"""

import os

MARKER = "MOORAGE_REPLICA_DIR"
"""In the environment of a keeper, its engine and all they start: the replica's directory."""


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


def is_running(pid: int, started: int, boot: str) -> bool:
    """Whether the very process that was recorded still runs."""
    return start_time(pid) == started and boot == boot_id()


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
