"""Reading engines' log files: the last lines, those of the last start, and what is added. Blocking parts in threads."""

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncGenerator
from pathlib import Path

from moorage.worker.logfile import HEADER

TAIL_MAX_BYTES = 4 * 1024 * 1024
FOLLOW_EVERY_S = 0.25
READ_BYTES = 64 * 1024


def log_path(log_dir: Path, replica: str) -> Path:
    """A replica's log file. Names that are no file names get a digest, so that two never share one."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", replica).lstrip(".")[:100]
    if safe != replica:
        safe = f"{safe}-{hashlib.sha256(replica.encode()).hexdigest()[:8]}"
    return log_dir / f"{safe}.log"


def tail(path: Path, lines: int, max_bytes: int = TAIL_MAX_BYTES) -> tuple[bytes, int]:
    """The last lines of a file and the position behind them. A file that is not there is empty."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            start = max(0, end - max_bytes)
            file.seek(start)
            content = file.read(end - start)
    except OSError:
        return b"", 0
    kept = content.splitlines(keepends=True)[-lines:] if lines > 0 else []
    return b"".join(kept), end


def last_start(path: Path, max_bytes: int = READ_BYTES) -> str:
    """The end of what the engine wrote since its last start, without our header line."""
    content, _ = tail(path, lines=10_000, max_bytes=max_bytes)
    text = content.decode(errors="replace")
    _, header, after = text.rpartition(HEADER)
    return after.partition("\n")[2] if header else text


async def follow(path: Path, lines: int, stop: asyncio.Event) -> AsyncGenerator[bytes]:
    """The last lines, then whatever is added, until `stop`. Begins anew where the file was emptied or replaced."""
    content, position = await asyncio.to_thread(tail, path, lines)
    if content:
        yield content
    inode = await asyncio.to_thread(_inode, path)
    while not stop.is_set():
        added, position, inode = await asyncio.to_thread(_read_from, path, position, inode)
        if added:
            yield added
            continue
        try:
            await asyncio.wait_for(stop.wait(), FOLLOW_EVERY_S)
        except TimeoutError:
            continue


def _read_from(path: Path, position: int, inode: int) -> tuple[bytes, int, int]:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_ino != inode or status.st_size < position:
                position = 0
            file.seek(position)
            added = file.read(READ_BYTES)
    except OSError:
        return b"", 0, 0
    return added, position + len(added), status.st_ino


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0
