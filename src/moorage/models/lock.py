"""One holder at a time, across tasks and processes."""

import asyncio
import errno
import fcntl
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from moorage.errors import ModelError

POLL_S = 0.2


@asynccontextmanager
async def locked(path: Path, *, waiting: Callable[[], None] | None = None) -> AsyncGenerator[None]:
    """Hold an advisory lock on the file at `path`, which is made where it is missing and never removed.

    Waits as long as another task or process holds it, calling `waiting` at each look; a cancelled wait leaves
    nothing behind. The kernel frees the lock of a killed process. Raises ModelError where the file system has no locks.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        while not _try(handle, path):
            if waiting is not None:
                waiting()
            await asyncio.sleep(POLL_S)
        yield
    finally:
        os.close(handle)


def _try(handle: int, path: Path) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOTSUP):
            raise ModelError(
                f"the file system of {path.parent} has no file locks; set MOORAGE_CACHE_DIR to a local folder"
            ) from error
        raise
    return True
