"""`moorage serve`: composes controller, worker and gateways, and takes them down in order."""

import asyncio
import os
import signal

import structlog

from moorage.config.load import Loaded
from moorage.config.tree import Config, access_problem, listeners
from moorage.controller.app import Controller, ControllerSettings
from moorage.environments.discovery import Finder
from moorage.errors import ConfigError, MoorageError
from moorage.http.client import Client
from moorage.models import source
from moorage.models.store import ModelStore
from moorage.serve.gateways import Gateways
from moorage.serve.listening import Bound, bind_all
from moorage.serve.state import State
from moorage.worker.app import Worker, WorkerSettings

log = structlog.get_logger("serve")

KEEPER_LEASE_S = 4.5
"""How long engines outlive a supervisor that was killed. They are gone a second later, or adopted by its successor."""


class Supervisor:
    """One server: construct → start → stop. Everything it starts ends with it."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        self._config = loaded.config
        check(self._config)
        self._client = Client()
        self._bound: list[Bound] = []
        self._state: State | None = None
        self.controller: Controller | None = None
        self._worker: Worker | None = None
        self.gateways: Gateways | None = None

    @property
    def url(self) -> str:
        """Where clients reach it, once it has started."""
        return self._bound[0].url

    @property
    def model_urls(self) -> dict[str, str]:
        """Where clients reach single models that have a port of their own, by model."""
        return {bound.model: bound.url for bound in self._bound if bound.model}

    async def start(self) -> None:
        """Raises ConfigError for a port or a folder that cannot be had."""
        config = self._config
        assert config.state_dir is not None
        assert config.cache_dir is not None
        self._bound = bind_all(listeners(config))
        state = State(config.state_dir, str(self._bound[0].socket.getsockname()[1]))
        state.take()
        self._state = state
        token, socket_path = state.token(), str(state.run / "controller.sock")
        self.controller = Controller(ControllerSettings(socket_path, token, state.pepper(), self.model_urls))
        self.controller.configure(config)
        await self.controller.start()
        address = f"unix:{socket_path}"
        self._worker = Worker(
            WorkerSettings(
                id="local",
                controller=address,
                token=token,
                run_dir=state.run,
                log_dir=state.logs,
                spool_dir=state.spool,
                api_socket=state.run / "worker.sock",
                keeper_lease_s=KEEPER_LEASE_S,
                drain_s=config.server.drain_timeout,
            ),
            self._client,
            ModelStore(config.cache_dir).fetch,
            Finder(config.cache_dir, os.environ).installations,
        )
        await self._worker.start()
        self.gateways = Gateways(config, state, self._bound, address, token)
        await self.gateways.start()

    async def stop(self) -> None:
        """Gateways first, so that no call is cut that could end; then engines; then the controller. Idempotent."""
        if self.gateways is not None:
            await self.gateways.stop()
        for bound in self._bound:
            bound.socket.close()
        if self._worker is not None:
            await self._worker.stop(2.0)
        if self.controller is not None:
            await self.controller.stop()
        await self._client.close()
        if self._state is not None:
            self._state.release()

    def apply(self, loaded: Loaded) -> None:
        """Take over another configuration, which has been compared with this one before."""
        assert self.controller is not None
        self.loaded = loaded
        self.controller.configure(loaded.config)


def check(config: Config) -> None:
    """What can be seen to be wrong before anything starts. Raises ConfigError."""
    if problem := access_problem(config):
        raise ConfigError(problem)
    for model in config.models.local:
        own = () if model.url else (("", model.source),)
        for what, place in (*own, *((f"options.lora.{n}: ", s) for n, s in model.options.lora.items())):
            try:
                source.parse(place)
            except MoorageError as error:
                raise ConfigError(f"model {model.name!r}: {what}{error.message}") from error


async def until_told(reload: asyncio.Event) -> None:
    """Wait for SIGTERM or SIGINT; SIGHUP sets `reload`. A second SIGINT ends the process at once."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()

    def tell() -> None:
        if told.is_set():
            raise SystemExit(130)
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, tell)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    await told.wait()
