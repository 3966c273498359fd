"""What this worker remembers of starts: the remedies that worked, to begin with them, and the last failure of each
replica, for whoever asks later.

One small private file in the run directory. It is a convenience: where it cannot be read or written, starts go on as
if nothing were known.
"""

import hashlib
import json
import os
import stat
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog
from msgspec import Struct

from moorage.access.private import write_private
from moorage.core.remedies import Remedy

FILE_NAME = "remedies.json"
FILE_BYTES_MAX = 1 << 20
CASES_MAX = 64
"""Of each kind; the oldest go first."""
REASON_CHARS = 8000

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Case(Struct, frozen=True, kw_only=True):
    """What a remedy is remembered for."""

    key: str
    """Digest of model, its files, engine and devices."""
    fingerprint: str
    """Of the model's settings: with others a new start knows nothing of the old."""
    version: str
    """The engine's."""


class Worked(Struct, frozen=True, kw_only=True):
    case: Case
    model: str
    engine: str
    remedies: tuple[Remedy, ...]
    at: float
    """Unix time."""


class Failed(Struct, frozen=True, kw_only=True):
    """A replica's last start, where it did not become ready."""

    model: str
    fingerprint: str
    generation: int
    reason: str
    """What status showed, with the engine's last lines."""
    at: float
    engine: str = ""
    cause: str = ""
    """With what follows, empty where nobody knows."""
    fix: str = ""
    signature: str = ""
    source: str = ""


class Memory(Struct, kw_only=True):
    """The file."""

    worked: dict[str, Worked] = {}
    """By the case's key."""
    failed: dict[str, Failed] = {}
    """By replica."""


def case(*, model: str, fingerprint: str, files: object, engine: str, version: str, devices: Sequence[str]) -> Case:
    """`files` is what tells the model's files from others; anything that repr shows wholly."""
    digest = hashlib.sha256(json.dumps([model, repr(files), engine, sorted(devices)]).encode()).hexdigest()[:24]
    return Case(key=digest, fingerprint=fingerprint, version=version)


def read_memory(path: Path) -> Memory:
    """What is remembered; nothing where the file is missing, damaged, not of this version, or where others could have
    written it: options of engines are in it. Blocks.
    """
    try:
        with open(path, "rb", opener=_open) as file:
            if not _ours(os.fstat(file.fileno())):
                log.warning("the memory of starts is not ours alone to write, and is begun anew", path=str(path))
                return Memory()
            content = file.read(FILE_BYTES_MAX + 1)
        if len(content) <= FILE_BYTES_MAX:
            return msgspec.json.decode(content, type=Memory)
        log.warning("the memory of starts is too long, and begun anew", path=str(path))
    except FileNotFoundError:
        pass
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        log.warning("the memory of starts cannot be read, and is begun anew", path=str(path), why=str(error))
    return Memory()


def _open(name: str, flags: int) -> int:
    """Follows no link to elsewhere, waits for no pipe."""
    return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _ours(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022


class Remedies:
    """The memory of one worker. All of it blocks, briefly, and raises nothing for a file that will not do."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / FILE_NAME
        self._lock = threading.Lock()
        self._memory: Memory | None = None

    def recall(self, case: Case) -> tuple[Remedy, ...]:
        """What worked the last time; nothing where settings or engine have changed since."""
        with self._lock:
            known = self._read().worked.get(case.key)
        if known is None:
            return ()
        if known.case == case:
            return known.remedies
        self.forget(case)
        return ()

    def keep(self, case: Case, model: str, engine: str, remedies: tuple[Remedy, ...]) -> None:
        """These led to an engine that was ready."""
        worked = Worked(case=case, model=model, engine=engine, remedies=remedies, at=time.time())
        self._change(lambda memory: memory.worked.update({case.key: worked}))

    def forget(self, case: Case) -> None:
        """They work no more, or are of the past."""
        with self._lock:
            if case.key not in self._read().worked:
                return
        self._change(lambda memory: memory.worked.pop(case.key, None))

    def note_failure(self, replica: str, failed: Failed) -> None:
        short = msgspec.structs.replace(failed, reason=failed.reason[:REASON_CHARS])
        self._change(lambda memory: memory.failed.update({replica: short}))

    def note_success(self, replica: str) -> None:
        with self._lock:
            if replica not in self._read().failed:
                return
        self._change(lambda memory: memory.failed.pop(replica, None))

    def _read(self) -> Memory:
        """Once: this worker alone writes the file."""
        if self._memory is None:
            self._memory = read_memory(self._path)
        return self._memory

    def _change(self, change: Callable[[Memory], object]) -> None:
        with self._lock:
            memory = self._read()
            change(memory)
            memory.worked, memory.failed = _newest(memory.worked), _newest(memory.failed)
            try:
                write_private(self._path, msgspec.json.encode(memory))
            except OSError as error:
                log.warning("the memory of starts cannot be kept", path=str(self._path), why=error.strerror)


T = TypeVar("T", Worked, Failed)


def _newest(kept: dict[str, T]) -> dict[str, T]:
    latest = sorted(kept.items(), key=lambda entry: entry[1].at)[-CASES_MAX:]
    return dict(latest)
