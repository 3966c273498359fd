"""An engine's log file, written by its keeper, bounded in size, and never in the engine's way.

The engine writes into a pipe that its keeper empties: a full disk costs lines, not the engine (many programs die of a
failed print), and the file can be rotated while it runs. The engine does not outlive its keeper, so the pipe has always
a reader. Standard library only: the keeper lives with it.
"""

from __future__ import annotations

import os
import time

HEADER = "=== generation "


class Log:
    """Appends to a file, mode 0600. What cannot be written is dropped, counted, and told once it can be again."""

    def __init__(self, path: str, max_bytes: int, keep: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._file = -1
        self._size = 0
        self._lost = 0

    def header(self, generation: int, argv: list[str]) -> None:
        """One line that divides generations: which, when, what."""
        when = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        self.write(f"{HEADER}{generation} {when}: {' '.join(argv)[:2000]}\n".encode(errors="replace"))

    def write(self, data: bytes) -> None:
        try:
            self._open()
            if self._lost:
                self._append(f"[moorage: {self._lost} bytes of log were lost, the disk was full]\n".encode())
                self._lost = 0
            self._append(data)
        except OSError:
            self._lost += len(data)

    def check(self) -> None:
        """Now and then: a file that was moved away or removed is opened anew."""
        try:
            if self._file >= 0 and os.stat(self._path).st_ino == os.fstat(self._file).st_ino:
                return
        except OSError:  # no file there: the next write makes one
            pass
        self._close()

    def _append(self, data: bytes) -> None:
        while data:
            written = os.write(self._file, data)
            self._size += written
            data = data[written:]

    def _open(self) -> None:
        if self._file < 0:
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._size = os.fstat(self._file).st_size
        if self._size > self._max_bytes:
            self._close()
            self._shift()
            self._open()

    def _shift(self) -> None:
        """`log` becomes `log.1`, `log.1` becomes `log.2`, up to `keep`."""
        for number in range(self._keep - 1, 0, -1):
            if os.path.exists(f"{self._path}.{number}"):
                os.replace(f"{self._path}.{number}", f"{self._path}.{number + 1}")
        if self._keep > 0:
            os.replace(self._path, f"{self._path}.1")
        else:
            os.unlink(self._path)

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
