"""A runtime as a process, planned by its adapter and started as a worker would, on a socket of its own."""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moorage.config.model import ModelSpec
from moorage.core.ports import Engine, LaunchOrder
from moorage.errors import MoorageError
from moorage.http.client import Client
from moorage.models.files.model import facts
from moorage.telemetry.exposition import read
from moorage.wire.control import Installation, Machine
from moorage.worker.launching import free_port

TOKEN = "bench"
START_S = 60.0


class Served:
    """`async with`: until it answers a real call."""

    def __init__(
        self,
        name: str,
        engine: Engine,
        spec: ModelSpec,
        model: Path,
        folder: Path,
        *,
        installations: tuple[Installation, ...] = (),
        start_s: float = START_S,
    ) -> None:
        self.name = name
        self._start_s = start_s
        place = folder / name.replace(" ", "-")
        place.mkdir()
        cores = len(os.sched_getaffinity(0))
        order = LaunchOrder(
            replica=name,
            model=spec,
            facts=facts(model),
            machine=Machine(hostname="bench", cores=cores, memory_bytes=8 << 30, installations=installations),
            socket=f"{place}/engine.sock",
            port=free_port(),
            token=TOKEN,
            spool_dir=str(place),
        )
        self.launch = engine.launch(order)
        for path, content in self.launch.files.items():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_bytes(content)
        self.client = Client()
        self._engine = engine
        self._log = place / "log"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    async def __aenter__(self) -> "Served":
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.launch.argv, env={**os.environ, **self.launch.env}, stdout=log, stderr=log
            )
        probe, deadline = self._engine.probe(self.launch), time.monotonic() + self._start_s
        while True:
            with contextlib.suppress(MoorageError):
                headers = {"Content-Type": probe.content_type}
                if (await self.ask(probe.method, probe.path, probe.body, headers))[0] == 200:
                    return self
            if time.monotonic() > deadline:
                raise SystemExit(f"{self.name} did not become ready: {self.log[-2000:]}")
            await asyncio.sleep(0.05)

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()

    async def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        address = self.launch.address
        async with self.client.call(
            address, method, path, body=body, token=TOKEN, headers=headers, timeout_s=self._start_s
        ) as reply:
            return reply.status, await reply.read()

    async def post(self, path: str, body: dict[str, Any]) -> bytes:
        """The reply to a call that must succeed."""
        status, content = await self.ask("POST", path, json.dumps(body).encode())
        if status != 200:
            raise SystemExit(f"{self.name} answered {path} with {status}: {content[:500]!r}")
        return content

    async def metrics(self) -> dict[str, float]:
        return read((await self.ask("GET", "/metrics"))[1].decode())
