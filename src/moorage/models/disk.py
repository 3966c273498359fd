"""Files on disk, without holding up the event loop: hashing, durable placement, room that is missing."""

import asyncio
import errno
import hashlib
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

from moorage.core.text import human
from moorage.errors import ModelError
from moorage.wire.control import Progress

BLOCK_BYTES = 1024 * 1024

OnProgress = Callable[[Progress], None]

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run short blocking work in a thread. A cancelled caller leaves only when the work is done, so that
    whoever cleans up never closes a file under a running write."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


async def sha256_of(path: Path, on_progress: OnProgress | None = None) -> str:
    """The file's checksum. Progress is told as `verifying`. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        total = os.fstat(file.fileno()).st_size
        done = 0

        def step() -> int:
            block = file.read(8 * BLOCK_BYTES)
            digest.update(block)
            return len(block)

        while count := await in_thread(step):
            done += count
            if on_progress is not None:
                on_progress(Progress(what="verifying", done=done, total=total))
    return digest.hexdigest()


def place(part: Path, final: Path) -> None:
    """Make a file or a folder durable and give it its final name, atomically."""
    if part.is_dir():
        for below, _, names in os.walk(part):
            for name in names:
                _sync_file(Path(below, name))
            _sync_folder(Path(below))
    else:
        _sync_file(part)
    part.replace(final)
    _sync_folder(final.parent)


def write_text(path: Path, text: str) -> None:
    """Replace a small file, atomically and durably."""
    part = path.with_name(path.name + ".new")
    try:
        part.write_text(text, encoding="utf-8")
        place(part, path)
    finally:
        part.unlink(missing_ok=True)


def check_room(folder: Path, needed_bytes: int) -> None:
    """Raises ModelError that says how much is missing when `folder` cannot take so many bytes more."""
    stats = os.statvfs(folder)
    free_bytes = stats.f_bavail * stats.f_frsize
    if free_bytes < needed_bytes:
        raise disk_full(folder, needed_bytes - free_bytes, needed_bytes)


def disk_full(folder: Path, missing_bytes: int | None, needed_bytes: int | None = None) -> ModelError:
    lacks = "no room is left" if missing_bytes is None else f"{human(missing_bytes)} are missing"
    needs = "" if needed_bytes is None else f" ({human(needed_bytes)} more are needed)"
    return ModelError(
        f"disk full: {lacks} at {folder}{needs}; free some space or point MOORAGE_CACHE_DIR at a larger disk",
        code="disk_full",
    )


@contextmanager
def writing_to(folder: Path, left_bytes: Callable[[], int | None]) -> Generator[None]:
    """Turn a failed write below `folder` into a ModelError; `left_bytes` says how much was still to be written."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            left = left_bytes()
            free_bytes = 0
            with suppress(OSError):
                stats = os.statvfs(folder)
                free_bytes = stats.f_bavail * stats.f_frsize
            raise disk_full(folder, None if left is None else max(left - free_bytes, 1), left) from error
        raise ModelError(
            f"cannot write to the model cache {folder}: {error.strerror or error}; "
            "set MOORAGE_CACHE_DIR to a folder you may write"
        ) from error


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
