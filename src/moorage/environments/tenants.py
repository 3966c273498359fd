"""Which processes run from an environment."""

import os
import signal
from contextlib import suppress
from pathlib import Path


def tenants(home: Path) -> tuple[int, ...]:
    """Processes started from the environment, or with libraries of it loaded (engines rename themselves)."""
    below = os.fsencode(f"{home}/")
    found: list[int] = []
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        # Processes end while they are looked at; those of other users cannot run from this user's cache.
        with suppress(OSError):
            argv = Path(f"/proc/{pid}/cmdline").read_bytes()
            if argv.startswith(below) or below in Path(f"/proc/{pid}/maps").read_bytes():
                found.append(pid)
    return tuple(found)


def evict(home: Path) -> None:
    """End what a killed install left running: nobody else runs from an environment that is not finished."""
    for pid in tenants(home):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
