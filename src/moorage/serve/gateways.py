"""The gateway processes of one server: started on the inherited sockets, replaced when they die."""

import asyncio
import sys
from pathlib import Path

import msgspec
import structlog

from moorage.config.tree import Config
from moorage.serve.listening import Bound
from moorage.serve.state import State
from moorage.telemetry import logs
from moorage.wire.launch import STDOUT, GatewayLaunch, Listener, seats_page

log = structlog.get_logger("serve")

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
HEALTHY_S = 10.0
"""A gateway that lived so long is replaced at once when it dies."""


class Gateways:
    """construct → start → stop."""

    def __init__(self, config: Config, state: State, listeners: list[Bound], controller: str, token: str):
        self._config = config
        self._state = state
        self._listeners = listeners
        self._controller = controller
        self._token = token
        self._tasks: list[asyncio.Task[None]] = []
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._stopping = False

    async def start(self) -> None:
        self._forget_seats()
        self._tasks = [asyncio.create_task(self._run(n)) for n in range(self._config.server.processes)]

    def _forget_seats(self) -> None:
        """Counts of gateways that served before, perhaps another number of them."""
        Path(seats_page(str(self._state.run))).unlink(missing_ok=True)

    async def stop(self) -> None:
        """Drain them all. One that does not end within the drain timeout and a little is killed."""
        self._stopping = True
        for process in self._processes.values():
            if process.returncode is None:
                process.terminate()
        await asyncio.gather(*(self._end(process) for process in self._processes.values()))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        try:
            async with asyncio.timeout(self._config.server.drain_timeout + 2.0):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _run(self, index: int) -> None:
        """Have one gateway running until told to stop."""
        loop = asyncio.get_running_loop()
        pause_s = FIRST_PAUSE_S
        while not self._stopping:
            began = loop.time()
            process = await self._spawn(index)
            self._processes[index] = process
            code = await process.wait()
            if self._stopping:
                return
            pause_s = FIRST_PAUSE_S if loop.time() - began >= HEALTHY_S else min(pause_s * 2, LONGEST_PAUSE_S)
            log.error("a gateway ended; starting another", process=index, code=code, in_s=round(pause_s, 1))
            await asyncio.sleep(pause_s)

    async def _spawn(self, index: int) -> asyncio.subprocess.Process:
        listeners = tuple(Listener(fd=bound.socket.fileno(), model=bound.model) for bound in self._listeners)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "moorage.gateway",
            stdin=asyncio.subprocess.PIPE,
            pass_fds=tuple(listener.fd for listener in listeners),
            start_new_session=True,
        )
        assert process.stdin is not None
        # The pipe stays open: when it closes, the gateway knows that this process is gone.
        process.stdin.write(msgspec.json.encode(self._launch(index, listeners)) + b"\n")
        return process

    def _launch(self, index: int, listeners: tuple[Listener, ...]) -> GatewayLaunch:
        server, logging = self._config.server, self._config.logging
        return GatewayLaunch(
            index=index,
            processes=server.processes,
            listeners=listeners,
            controller=self._controller,
            token=self._token,
            socket_dir=str(self._state.run),
            spool_dir=str(self._state.spool),
            table_copy=str(self._state.dir / "table.json"),
            header_timeout_s=server.header_timeout,
            body_timeout_s=server.body_timeout,
            idle_timeout_s=server.idle_timeout,
            header_bytes=server.max_header_size,
            drain_timeout_s=server.drain_timeout,
            metrics=self._config.monitoring.metrics.enabled,
            log_style=log_style(self._config),
            log_level=logging.level,
            log_file=log_file(self._config),
        )


def log_style(config: Config) -> logs.Style:
    if config.logging.format == "auto":
        terminal = {"stderr": sys.stderr, "stdout": sys.stdout}.get(config.logging.output)
        return "console" if terminal is not None and terminal.isatty() else "json"
    return config.logging.format


def log_file(config: Config) -> str | None:
    if config.logging.output == "stdout":
        return STDOUT
    path: Path | None = config.logging.file_path
    return str(path) if config.logging.output == "file" and path is not None else None
