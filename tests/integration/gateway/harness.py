"""A real gateway over real sockets, in front of fake engines, with a table the test writes."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from starlette.applications import Starlette

from moorage.access import keys
from moorage.controller.api import internal
from moorage.controller.fleet import Fleet
from moorage.controller.guard import Guard
from moorage.controller.publisher import Publisher
from moorage.gateway.app import Gateway
from moorage.http.answer import ERROR_HANDLERS
from moorage.http.client import Client, Reply
from moorage.http.server import Server
from moorage.http.unix import bind_unix
from moorage.serve.listening import bind, url_of
from moorage.testing import FakeEngine
from moorage.wire.launch import GatewayLaunch, Listener
from moorage.wire.table import KeyRow, ModelRow, Settings, Snapshot, TargetRow

TOKEN = "cluster-token"
JSON = {"content-type": "application/json"}
PEPPER = keys.new_pepper()
MODEL = ModelRow(id="org/model", names=("org/model", "alias"), task="generate", created=1, max_model_len=8192)


def target(engine: FakeEngine, name: str = "t0", **changes: Any) -> TargetRow:
    row = TargetRow(
        id=name, model=MODEL.id, generation=1, state="ready", reason="", since=0.0, address=engine.address,
        served_name=engine.behaviour.model, capacity=4,
    )  # fmt: skip
    return msgspec.structs.replace(row, **changes)


def key_row(key: str) -> KeyRow:
    return KeyRow(digest=keys.digest(PEPPER, key), name="tester")


class Harness:
    """`publish` what the gateway should know; `http` calls it."""

    def __init__(self, folder: Path, *, ports_of: Sequence[str] = (), **launch: Any) -> None:
        """`ports_of` are models with a port of their own."""
        self._folder = folder
        self._launch = launch
        self._own = {model: bind("127.0.0.1", 0) for model in ports_of}
        self.urls = {model: url_of(listener) for model, listener in self._own.items()}
        self.spool = folder / "spool"
        self.publisher = Publisher(Snapshot(epoch="", seq=0, settings=Settings(anonymous=True), pepper=PEPPER))
        self._listener: socket.socket = bind("127.0.0.1", 0)
        self.url = url_of(self._listener)
        self.controller = ""
        """Address of the controller's internal API."""
        self.gateway: Gateway
        self.http: aiohttp.ClientSession

    @property
    def port(self) -> int:
        return self._listener.getsockname()[1]

    async def publish(
        self, *targets: TargetRow, models: Sequence[ModelRow] = (MODEL,), keys: Sequence[KeyRow] = (), **settings: Any
    ) -> None:
        """Replace the table, and return when the gateway has it."""
        new = msgspec.structs.replace(
            self.publisher.current,
            settings=Settings(anonymous=not keys, **settings),
            models={row.id: row for row in models},
            targets={row.id: row for row in targets},
            keys={row.digest: row for row in keys},
        )
        self.publisher.publish(new)
        async with asyncio.timeout(5):
            while self.gateway.table().snapshot.seq != self.publisher.current.seq:
                await asyncio.sleep(0.002)

    async def __aenter__(self) -> "Harness":
        table_socket = str(self._folder / "c.sock")
        self.controller = f"unix:{table_socket}"
        fleet = Fleet(lambda: None)
        routes = internal.routes(fleet, self.publisher, asyncio.Event())
        app = Guard(Starlette(routes=routes, exception_handlers=ERROR_HANDLERS), TOKEN)
        self._controller = Server(app, [bind_unix(table_socket)])
        await self._controller.start()
        defaults: dict[str, Any] = {
            "index": 0, "processes": 1, "listeners": (
                Listener(fd=self._listener.fileno()),
                *(Listener(fd=own.fileno(), model=model) for model, own in self._own.items()),
            ),
            "spool_dir": str(self.spool),
            "controller": self.controller, "token": TOKEN, "socket_dir": str(self._folder), "table_copy": None,
            "header_timeout_s": 10.0, "body_timeout_s": 10.0, "idle_timeout_s": 30.0, "header_bytes": 16384,
            "drain_timeout_s": 2.0, "metrics": True, "log_style": "json", "log_level": "error",
            "log_file": str(self._folder / "requests.log"),
        }  # fmt: skip
        self.spool.mkdir(exist_ok=True)
        self.gateway = Gateway(GatewayLaunch(**defaults | self._launch))
        await self.gateway.start()
        self._heartbeat = asyncio.create_task(self._beat())
        self.http = aiohttp.ClientSession(self.url)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._heartbeat.cancel()
        await self.http.close()
        self.publisher.close()
        await asyncio.gather(self.gateway.stop(), self._controller.stop(0.2))
        for listener in (self._listener, *self._own.values()):
            listener.detach()

    @asynccontextmanager
    async def internal(self, path: str, headers: dict[str, str]) -> AsyncGenerator[Reply]:
        """A call of the controller, with the cluster's token."""
        async with Client() as client:
            async with client.call(self.controller, "GET", path, token=TOKEN, headers=headers, timeout_s=3) as reply:
                yield reply

    async def stop_controller(self) -> None:
        self._heartbeat.cancel()
        self.publisher.close()
        await self._controller.stop(0.1)

    def lines(self) -> list[dict[str, Any]]:
        """The request log so far."""
        self.gateway.flush_log()
        text = (self._folder / "requests.log").read_text()
        return [msgspec.json.decode(line) for line in text.splitlines()]

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(1)
            self.publisher.publish(self.publisher.current)


def chat(content: str = "hello", **fields: Any) -> dict[str, Any]:
    return {"model": "org/model", "messages": [{"role": "user", "content": content}]} | fields


@asynccontextmanager
async def harness(folder: Path, **launch: Any) -> AsyncGenerator[Harness]:
    async with Harness(folder, **launch) as running:
        yield running
