"""The controller: knows what should run and what does, and publishes the table."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog
from starlette.applications import Starlette

from moorage.access import keys
from moorage.config.tree import Config
from moorage.controller.api import internal, public
from moorage.controller.fleet import Fleet
from moorage.controller.guard import Guard
from moorage.controller.publisher import Publisher
from moorage.http.answer import ERROR_HANDLERS
from moorage.http.client import Client
from moorage.http.server import Server
from moorage.http.unix import bind_unix
from moorage.wire.table import KeyRow, Settings, Snapshot

log = structlog.get_logger("controller")

TICK_S = 1.0


@dataclass(frozen=True)
class ControllerSettings:
    socket: str
    """Path of the Unix socket on which gateways and workers find it."""
    token: str
    """What they must show, and what workers want to be shown on their own API."""
    pepper: str
    """Secret under which API keys are digested, hexadecimal."""
    model_urls: Mapping[str, str] = field(default_factory=dict[str, str])
    """Where clients reach models that have a port of their own."""


class Controller:
    """construct → configure → start → stop."""

    def __init__(self, settings: ControllerSettings) -> None:
        self._settings = settings
        self._client = Client()
        self._dirty = asyncio.Event()
        self.fleet = Fleet(self._fleet_changed)
        self.started = time.time()
        self._table_settings = Settings()
        self._keys: Mapping[str, KeyRow] = {}
        self.publisher = Publisher(self._snapshot())
        routes = [*internal.routes(self.fleet, self.publisher, self._dirty), *public.routes(self, self._client)]
        app = Guard(Starlette(routes=routes, exception_handlers=ERROR_HANDLERS), settings.token)
        self._app = app
        self._server: Server | None = None
        self._tick: asyncio.Task[None] | None = None

    @property
    def token(self) -> str:
        return self._settings.token

    @property
    def model_urls(self) -> Mapping[str, str]:
        return self._settings.model_urls

    def configure(self, config: Config) -> None:
        """Take over a whole configuration at once."""
        self._table_settings = table_settings(config)
        pepper = self._settings.pepper
        rows = [
            KeyRow(digest=keys.digest(pepper, key.key.get_secret_value()), name=key.name) for key in config.auth.keys
        ]
        self._keys = {row.digest: row for row in rows}
        self.fleet.configure(config.models.local, config.workers.queue_size)
        self._publish()

    async def start(self) -> None:
        self._server = Server(self._app, [bind_unix(self._settings.socket)])
        await self._server.start()
        self._tick = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._tick is not None:
            self._tick.cancel()
            await asyncio.gather(self._tick, return_exceptions=True)
            self._tick = None
        self.publisher.close()
        if self._server is not None:
            await self._server.stop(0.5)
            self._server = None
        await self._client.close()

    def _fleet_changed(self) -> None:
        self._dirty.set()

    async def _run(self) -> None:
        """Publish at every change, and once a second: loads, and the readers' heartbeat."""
        while True:
            try:
                async with asyncio.timeout(TICK_S):
                    await self._dirty.wait()
            except TimeoutError:
                pass
            self._dirty.clear()
            self._publish()

    def _publish(self) -> None:
        self.publisher.publish(self._snapshot())

    def _snapshot(self) -> Snapshot:
        return Snapshot(
            epoch="",
            seq=0,
            settings=self._table_settings,
            pepper=self._settings.pepper,
            models=self.fleet.model_rows(),
            targets=self.fleet.target_rows(),
            loads=self.fleet.loads(),
            keys=dict(self._keys),
        )


def table_settings(config: Config) -> Settings:
    """What the configuration says to gateways."""
    server = config.server
    return Settings(
        request_timeout_s=server.request_timeout,
        connect_timeout_s=server.connect_timeout,
        token_timeout_s=server.token_timeout,
        total_timeout_s=server.total_timeout,
        queue_timeout_s=server.queue_timeout,
        max_request_bytes=server.max_request_size,
        max_upload_bytes=server.max_upload_size,
        anonymous=not config.auth.keys,
    )
