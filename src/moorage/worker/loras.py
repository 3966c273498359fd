"""The LoRA adapters of a replica: fetched with its model, and changed while its engine runs where that can be."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import structlog
from msgspec.structs import replace as changed

from moorage.core.ports import Engine, LoraLoading, Probe
from moorage.core.replica import loras
from moorage.errors import DeadlineExceeded, EngineError, MoorageError, UpstreamError
from moorage.models.disk import OnProgress
from moorage.worker.launching import Berth, Running
from moorage.worker.record import write_record

CONFIG = "adapter_config.json"
CALL_TIMEOUT_S = 120.0
"""Of a call by which an engine loads or unloads one: it reads files and waits for a step."""
AGAIN_S = 30.0
"""Before what could not be fetched or loaded is tried once more."""
SETTLE_S = 0.3
"""What news that an adapter is gone needs to reach the gateways: until then they may still send calls."""
ANSWER_CHARS = 300

log: structlog.stdlib.BoundLogger = structlog.get_logger()


async def fetch(
    berth: Berth, model: str, wanted: Mapping[str, str], on_progress: OnProgress | None = None
) -> dict[str, str]:
    """The folders of adapters, fetched where they are not here: name → path. Raises MoorageError, naming which."""
    return {name: await _fetch_one(berth, model, name, source, on_progress) for name, source in wanted.items()}


async def _fetch_one(berth: Berth, model: str, name: str, source: str, on_progress: OnProgress | None) -> str:
    try:
        path = await berth.fetch(source, None, on_progress)
    except MoorageError as error:
        raise EngineError(f"LoRA adapter {name!r} of model {model!r} (options.lora): {error.message}") from error
    if not await asyncio.to_thread((path / CONFIG).is_file):
        raise EngineError(
            f"LoRA adapter {name!r} of model {model!r} (options.lora): {str(path)!r} has no {CONFIG}; name the folder "
            "of an adapter in PEFT's format"
        )
    return str(path.absolute())


def changeable(engine: Engine, running: Running) -> bool:
    """Whether adapters may come and go while it runs."""
    return isinstance(engine, LoraLoading) and bool(running.launch.loras)


class Loras:
    """What one running engine serves beside its model, brought to what is ordered.

    Construct → run, until cancelled; `poke` after every new order. Only `served` may be called.
    """

    def __init__(
        self,
        berth: Berth,
        running: Running,
        wanted: Callable[[], Mapping[str, str]],
        *,
        on_change: Callable[[], None],
        restart: Callable[[], None],
    ) -> None:
        """`wanted` is name → source. `restart` is asked for where the engine cannot change what it serves."""
        self._berth = berth
        self._running = running
        self._wanted = wanted
        self._on_change = on_change
        self._restart = restart
        self._poked = asyncio.Event()
        self.served: dict[str, str] = dict(running.launch.loras)
        """Name → folder."""
        self.trouble: dict[str, str] = {}
        """Why an adapter that is wanted is not served, by name."""

    def poke(self) -> None:
        self._poked.set()

    async def run(self) -> None:
        while True:
            self._poked.clear()
            wanted = dict(self._wanted())
            if not changeable(self._running.engine, self._running):
                if wanted != loras(self._running.record.order.model):
                    self._restart()
                    return
            else:
                await self._bring_about(wanted)
            try:
                async with asyncio.timeout(AGAIN_S if self.trouble else None):
                    await self._poked.wait()
            except TimeoutError:
                continue

    async def _bring_about(self, wanted: Mapping[str, str]) -> None:
        before, troubled = dict(self.served), dict(self.trouble)
        self.trouble = {name: why for name, why in self.trouble.items() if name in wanted}
        for name in [name for name in self.served if name not in wanted]:
            await self._unload(name)
        for name, source in wanted.items():
            try:
                await self._load(name, source)
                self.trouble.pop(name, None)
            except MoorageError as error:
                self.trouble[name] = error.message
                if troubled.get(name) != error.message:
                    log.warning("a LoRA adapter is not served", model=self._model, lora=name, why=error.message)
        if (self.served, self.trouble) != (before, troubled):
            await self._remember()
            self._on_change()

    async def _load(self, name: str, source: str) -> None:
        path = await _fetch_one(self._berth, self._model, name, source, None)
        if self.served.get(name) == path:
            return
        if name in self.served:
            await self._unload(name)
        assert isinstance(self._running.engine, LoraLoading)
        await self._call(name, self._running.engine.load_lora(name, path))
        self.served[name] = path
        log.info("LoRA adapter loaded", model=self._model, lora=name)

    async def _unload(self, name: str) -> None:
        """First nobody asks for it any more, then it goes."""
        del self.served[name]
        self._on_change()
        await asyncio.sleep(SETTLE_S)
        assert isinstance(self._running.engine, LoraLoading)
        try:
            await self._call(name, self._running.engine.unload_lora(name))
        except MoorageError as error:
            log.warning("a LoRA adapter is not unloaded", model=self._model, lora=name, why=error.message)

    async def _call(self, name: str, call: Probe) -> None:
        """Raises EngineError with what the engine says."""
        launch = self._running.launch
        try:
            async with self._berth.client.call(
                launch.address,
                call.method,
                call.path,
                body=call.body,
                headers={"Content-Type": call.content_type},
                token=launch.token,
                timeout_s=CALL_TIMEOUT_S,
            ) as reply:
                text = (await reply.read())[:ANSWER_CHARS].decode(errors="replace")
                status = reply.status
        except (UpstreamError, DeadlineExceeded) as error:
            raise EngineError(f"LoRA adapter {name!r}: {error.message}") from error
        if not 200 <= status < 300:
            answer = f"{status} {text}".strip()
            raise EngineError(f"LoRA adapter {name!r}: {call.method} {call.path} was answered with {answer}")

    async def _remember(self) -> None:
        """For a worker that comes back and adopts the engine."""
        record = self._running.record
        kept = changed(record, ready=True, launch=replace(record.launch, loras=dict(self.served)))
        await asyncio.to_thread(write_record, Path(self._berth.directory(record.order.replica)), kept)

    @property
    def _model(self) -> str:
        return self._running.launch.served_name
