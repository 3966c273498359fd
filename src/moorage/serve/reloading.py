"""A changed configuration file is taken over while the server runs: whole, or not at all."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from moorage.config.load import Loaded
from moorage.config.reload import compare
from moorage.errors import ConfigError
from moorage.serve.supervisor import Supervisor, check

log = structlog.get_logger("serve.reload")

LOOK_EVERY_S = 1.0
SETTLE_S = 0.3
"""A file that was written so lately may be half written: many programs empty a file before they fill it again."""


Signature = tuple[int, int, int]
"""Time of the last write in ns, size, inode."""


class Reloader:
    """Looks at the file once a second, and at once when told (SIGHUP)."""

    def __init__(self, supervisor: Supervisor, read: Callable[[], Loaded]) -> None:
        self._supervisor = supervisor
        self._read = read
        self.asked = asyncio.Event()

    async def run(self) -> None:
        seen = self._signature()
        pause_s = LOOK_EVERY_S
        while True:
            try:
                async with asyncio.timeout(pause_s):
                    await self.asked.wait()
            except TimeoutError:
                pass
            now, pause_s = self._signature(), LOOK_EVERY_S
            if now != seen and not self.asked.is_set() and _fresh(now):
                pause_s = SETTLE_S
            elif now != seen or self.asked.is_set():
                seen = now
                self.asked.clear()
                await self._reload(now)

    async def _reload(self, file: Signature | None) -> None:
        """A file with a problem changes nothing: the server goes on with what it has, and says so."""
        try:
            loaded = await asyncio.to_thread(self._read)
            check(loaded.config)
        except ConfigError as error:
            log.error("the new configuration is not used", problem=error.message)
            return
        if self._signature() != file:
            return  # written while we read: the next look finds it changed
        change = compare(self._supervisor.loaded.config, loaded.config)
        if change.refusal:
            log.error("the new configuration is not used", problem=change.refusal)
            return
        if change.empty:
            log.info("the configuration has not changed")
            return
        self._supervisor.apply(loaded)
        log.info(
            "configuration reloaded",
            models_added=[model.name for model in change.added],
            models_removed=[model.name for model in change.removed],
            models_changed=[model.name for model in change.changed],
            settings=list(change.settings),
        )

    def _signature(self) -> Signature | None:
        path: Path | None = self._supervisor.loaded.path
        if path is None:
            return None
        try:
            stat = path.stat()
        except OSError:
            return None
        return (stat.st_mtime_ns, stat.st_size, stat.st_ino)


def _fresh(file: Signature | None) -> bool:
    return file is not None and 0 <= time.time() - file[0] / 1e9 < SETTLE_S
