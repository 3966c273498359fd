"""The table's stream: one snapshot for who joins, the same changes for all."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import msgspec

from moorage.wire import table as wire
from moorage.wire.table import Snapshot

BACKLOG = 256
"""Changes a reader may be behind. One that reads more slowly is cut off and starts over from a snapshot."""


@dataclass(eq=False)
class Reader:
    """A gateway that follows the table."""

    process: str
    pid: int
    since: float = field(default_factory=time.time)
    lines: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(BACKLOG))


class Publisher:
    """Holds the current table and tells its readers what changed."""

    def __init__(self, first: Snapshot) -> None:
        self.current = msgspec.structs.replace(first, epoch=secrets.token_hex(8), seq=1)
        self.readers: list[Reader] = []

    def publish(self, new: Snapshot) -> None:
        """Replace the table; readers get the difference (an empty one is their heartbeat)."""
        change = wire.difference(self.current, new)
        self.current = msgspec.structs.replace(new, epoch=change.epoch, seq=change.seq)
        line = wire.encode(change) + b"\n"
        for reader in list(self.readers):
            try:
                reader.lines.put_nowait(line)
            except asyncio.QueueFull:
                self._drop(reader)

    async def follow(self, reader: Reader) -> AsyncGenerator[bytes]:
        self.readers.append(reader)
        try:
            yield wire.encode(self.current) + b"\n"
            while (line := await reader.lines.get()) is not None:
                yield line
        finally:
            if reader in self.readers:
                self.readers.remove(reader)

    def close(self) -> None:
        for reader in list(self.readers):
            self._drop(reader)

    def _drop(self, reader: Reader) -> None:
        self.readers.remove(reader)
        while reader.lines.full():
            reader.lines.get_nowait()
        reader.lines.put_nowait(None)
