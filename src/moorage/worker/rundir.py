"""The run directory: one short private directory per replica, for sockets, identities and secrets of this boot."""

import fcntl
import hashlib
import os
import stat
import tempfile
from pathlib import Path

from moorage.access.private import write_private
from moorage.errors import ConfigError, Conflict
from moorage.http.unix import SOCKET_PATH_BYTES

LONGEST_NAME = "r-0123456789/engine.sock.sock"
"""Of all sockets below a run directory: the one that llama.cpp itself listens on."""


def run_dir_for(wanted: Path) -> Path:
    """The wanted path, or its stand-in where sockets below it could not be bound.

    The stand-in lies below the system's temporary directory under a name derived from the wanted path, so that who
    comes back finds it again.
    """
    wanted = Path(os.path.abspath(wanted))
    if len(os.fsencode(wanted / LONGEST_NAME)) <= SOCKET_PATH_BYTES:
        return wanted
    digest = hashlib.sha256(os.fsencode(wanted)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"moorage-{os.getuid()}-{digest}"


def open_run_dir(wanted: Path) -> Path:
    """Create the run directory (`run_dir_for`), private to this user. Raises ConfigError where it cannot be written."""
    path = run_dir_for(wanted)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise ConfigError(f"the run directory {str(path)!r} belongs to someone else; remove it or name another one")
        if found.st_mode & 0o077:
            path.chmod(0o700)
        probe = path / f".probe-{os.getpid()}"
        write_private(probe, b"")
        probe.unlink()
    except OSError as error:
        raise ConfigError(
            f"the run directory {str(path)!r} cannot be written ({error.strerror}); name one this user may write to"
        ) from error
    return path


class RunDirLock:
    """One worker per run directory: two would adopt and stop each other's engines."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / "lock"
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Raises Conflict when another worker holds it. The kernel frees it when its holder dies."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise Conflict(
                f"another moorage worker uses the run directory {str(self._path.parent)!r}; stop it or name another one"
            ) from error
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def replica_dir(run_dir: Path, replica: str) -> Path:
    """Where a replica's files are: short, whatever the replica is called."""
    return run_dir / f"r-{hashlib.sha256(replica.encode()).hexdigest()[:10]}"


def replica_dirs(run_dir: Path) -> list[Path]:
    return sorted(path for path in run_dir.glob("r-??????????") if path.is_dir() and not path.is_symlink())


def next_generation(directory: Path) -> int:
    """Counts the starts of a replica, over restarts of the worker too. Creates the directory."""
    directory.mkdir(mode=0o700, exist_ok=True)
    path = directory / "generation"
    try:
        last = int(path.read_text())
    except (FileNotFoundError, ValueError):
        last = 0
    write_private(path, str(last + 1).encode())
    return last + 1
