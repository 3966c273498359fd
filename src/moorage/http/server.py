"""Serving ASGI on sockets that stand already: uvicorn without its signal handlers, command line and access log."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn

DATE_EVERY_S = 1.0

Asgi = Callable[[Any, Any, Any], Awaitable[None]]


class Server:
    """construct → start → stop. Stopping closes the listeners, lets running calls end, then cancels them."""

    def __init__(
        self,
        app: Asgi,
        sockets: Sequence[socket.socket],
        *,
        protocol: type[asyncio.Protocol] | str = "httptools",
        idle_timeout_s: float = 75.0,
    ) -> None:
        self._sockets = list(sockets)
        config = uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=int(idle_timeout_s),
        )
        self._server = _Uvicorn(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._server.serve(sockets=self._sockets))
        while not self._server.started:
            if self._task.done():
                await self._task
            await asyncio.sleep(0.005)

    async def stop(self, grace_s: float) -> None:
        """Idempotent. Calls still running after `grace_s` are cancelled."""
        if self._task is None:
            return
        self._server.config.timeout_graceful_shutdown = grace_s  # pyright: ignore[reportAttributeAccessIssue]
        self._server.should_exit = True
        self._server.told.set()
        await self._task
        self._task = None


class _Uvicorn(uvicorn.Server):
    """Leaves signals alone, and waits for its end instead of looking for it ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.told = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def main_loop(self) -> None:
        while not await self.on_tick(0):  # renews the Date header
            with suppress(TimeoutError):
                async with asyncio.timeout(DATE_EVERY_S):
                    await self.told.wait()
