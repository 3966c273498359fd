"""After a crash: what is left of replicas whose keeper is gone is ended, and their directories are cleared."""

import os
import shutil
import signal
import time
from pathlib import Path

from moorage.worker.identity import is_running, marked, read_identity, recorded_identity
from moorage.worker.rundir import replica_dirs

REMEMBER_S = 7 * 24 * 3600.0
"""How long the generation of a replica nobody runs is kept."""


def sweep(run_dir: Path) -> list[Path]:
    """Returns the directories whose keeper runs, to be adopted or stopped; clears the others. Blocks."""
    alive: list[Path] = []
    for directory in replica_dirs(run_dir):
        if read_identity(str(directory)) is not None:
            alive.append(directory)
        else:
            kill_replica(directory)
            clear(directory)
    return alive


def kill_replica(directory: Path) -> int:
    """SIGKILL to all that carries the replica's marker or is its recorded engine, until none is left. Blocks.

    Returns how many were killed. Gives up after some seconds on processes the kernel does not let go.
    """
    killed: set[int] = set()
    deadline = time.monotonic() + 5.0
    while left := _left(directory):
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            except ProcessLookupError:
                continue
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    return len(killed)


def _left(directory: Path) -> list[int]:
    left = marked(str(directory))
    identity = recorded_identity(str(directory))
    if identity is not None:
        pid = identity["engine_pid"]
        if pid not in left and is_running(pid, identity["engine_started"], identity["boot_id"]):
            left.append(pid)
    return left


def clear(directory: Path) -> None:
    """Everything but the generation, which goes on counting when the replica comes back soon."""
    generation = directory / "generation"
    if not directory.is_dir():
        return
    if not generation.exists() or time.time() - generation.stat().st_mtime > REMEMBER_S:
        shutil.rmtree(directory, ignore_errors=True)
        return
    for path in directory.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path != generation:
            path.unlink(missing_ok=True)
