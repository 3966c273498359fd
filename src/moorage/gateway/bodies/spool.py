"""Uploads on their way: a little in memory, the rest in a file that has no name and is gone with its descriptor."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from io import FileIO
from typing import TypeVar

import structlog

from moorage.errors import NoRoom

log = structlog.get_logger("gateway.spool")

PIECE_BYTES = 1024 * 1024
"""What is held in memory before it is written, and read at once."""
RETRY_AFTER_S = 10.0

R = TypeVar("R")


class Spool:
    """Bytes appended once and read as often as needed: construct → append → read → close. Idempotent.

    The disk is waited for in a thread: a slow one must not stop the streams of others.
    """

    def __init__(self, folder: str) -> None:
        """`folder` is used once the bytes no longer fit into memory."""
        self._folder = folder
        self._tail = bytearray()
        """What is not in the file yet."""
        self._written = 0
        self._file: FileIO | None = None
        self._at_work = 0
        """Threads that use the file."""
        self._closed = False

    @property
    def size(self) -> int:
        return self._written + len(self._tail)

    async def append(self, piece: bytes) -> None:
        """Raises NoRoom when the disk is full, or does not take it for another reason."""
        self._tail += piece
        if len(self._tail) < PIECE_BYTES:
            return
        full = bytes(self._tail)
        try:
            await self._work(lambda: self._write(full))
        except OSError as error:
            log.warning("cannot keep an upload", folder=self._folder, error=str(error))
            raise NoRoom(
                "this server has no room to keep the upload now; try again later, or with a smaller file",
                retry_after_s=RETRY_AFTER_S,
            ) from error
        self._written += len(full)
        self._tail.clear()

    async def read(self, begin: int, end: int) -> AsyncIterator[bytes]:
        """Bytes `begin` to `end`, in pieces. Raises OSError for a disk that fails, ValueError when closed meanwhile."""
        while begin < end:
            if self._closed:
                raise ValueError("the upload was let go while it was read")
            if begin >= self._written:
                yield bytes(self._tail[begin - self._written : end - self._written])
                return
            piece = await self._work(self._reading(begin, min(PIECE_BYTES, self._written - begin, end - begin)))
            if not piece:
                raise OSError("the file of an upload was cut")
            begin += len(piece)
            yield piece

    def close(self) -> None:
        """Free memory and disk: at once, or as soon as a thread that uses the file has ended."""
        self._closed = True
        self._tail.clear()
        if self._file is not None and not self._at_work:
            self._file.close()
            self._file = None

    def _write(self, full: bytes) -> None:
        if self._file is None:
            # Mode 0600 and without a name: whatever becomes of this process, nothing is left behind.
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115
        view, at = memoryview(full), self._written
        while view:
            written = os.pwrite(self._file.fileno(), view, at)
            view, at = view[written:], at + written

    def _reading(self, begin: int, size: int) -> Callable[[], bytes]:
        assert self._file is not None
        descriptor = self._file.fileno()
        return lambda: os.pread(descriptor, size, begin)

    async def _work(self, do: Callable[[], R]) -> R:
        """Call in a thread. It ends even when the caller does not wait for it: until then the file stays open."""
        future = asyncio.get_running_loop().run_in_executor(None, do)
        self._at_work += 1
        future.add_done_callback(self._done)
        return await asyncio.shield(future)

    def _done(self, future: "asyncio.Future[R]") -> None:
        self._at_work -= 1
        if self._closed:
            future.exception()  # nobody waits for it any more
            self.close()
