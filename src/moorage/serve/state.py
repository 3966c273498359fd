"""What a server keeps on disk: its lock, its secrets, the folders of its processes."""

import contextlib
import fcntl
import os
import re
from pathlib import Path

from moorage.access import keys
from moorage.errors import ConfigError
from moorage.worker.rundir import open_run_dir, run_dir_for

_SECRET = re.compile(r"[0-9a-f]{64}")
_ADVICE = "set state_dir (MOORAGE_STATE_DIR) to a folder this user can write, on a disk with room"


class State:
    """The folders of one server. Taken (locked) for as long as it runs, so that no second one disturbs its engines."""

    def __init__(self, root: Path, instance: str) -> None:
        """`instance` tells servers of one user apart: each port has its own folder below `root`."""
        self._root = root
        self.dir = root / f"serve-{instance}"
        self.logs = self.dir / "logs"
        self.spool = self.dir / "spool"
        """Holds uploads while they are on their way: on a disk, where the run folder may be in memory."""
        self.run = run_dir_for(self.dir / "run")
        self._lock: int | None = None

    def take(self) -> None:
        """Make the folders and lock them. Raises ConfigError naming the holder, or what is not writable."""
        try:
            for folder in (self._root, self.dir, self.logs, self.spool):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            open_run_dir(self.run)
            lock = os.open(self.dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(f"cannot use state folder {str(self.dir)!r}: {error.strerror}; {_ADVICE}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(lock, 32, 0).decode() or "unknown"
            os.close(lock)
            raise ConfigError(
                f"another Moorage (pid {holder}) uses state folder {str(self.dir)!r}; stop it, or set state_dir"
            ) from error
        self._lock = lock
        with contextlib.suppress(OSError):  # no room: others will not learn who holds it
            os.truncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def pepper(self) -> str:
        """The secret under which API keys are digested: made once, shared by all servers of this state folder."""
        return self._secret(self._root / "pepper")

    def token(self) -> str:
        """What the processes of this server show each other. It stays, so that a restarted one can adopt engines."""
        return self._secret(self.dir / "token")

    def _secret(self, path: Path) -> str:
        """Made when it is not there, or no secret of ours: an empty one would open every door."""
        try:
            known = _read(path)
            if _SECRET.fullmatch(known):
                return known
            part = path.with_suffix(f".{os.getpid()}.part")
            try:
                with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                    file.write(keys.new_pepper())
                    file.flush()
                    os.fsync(file.fileno())
                if path.exists():
                    part.replace(path)
                else:
                    with contextlib.suppress(FileExistsError):  # another server of this state folder was quicker
                        os.link(part, path)
            finally:
                part.unlink(missing_ok=True)
            return _read(path)
        except OSError as error:
            raise ConfigError(f"cannot keep a secret in {str(path)!r}: {error.strerror}; {_ADVICE}") from error


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except FileNotFoundError:
        return ""
