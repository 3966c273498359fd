"""The process of a runtime: read its settings, listen, load, serve, drain."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

import msgspec

from moorage.errors import EngineError
from moorage.http.unix import bind_unix
from moorage.runtimes.host.app import App
from moorage.runtimes.host.doorkeeper import Doorkeeper
from moorage.wire import runtime
from moorage.wire.runtime import RuntimeSettings, Settings

LOG_FLUSH_S = 0.2
KEEP_ALIVE_S = 300.0
"""Longer than any client keeps an idle connection, so that none is closed under a call."""
FAILED_GRACE_S = 1.0
"""For the errors of calls whose library failed to reach their clients."""
USAGE = "usage: python -m moorage.runtimes.NAME SETTINGS.json   (- reads standard input)"


class Runtime(Protocol):
    """A library behind the host: construct → load → serving → close. `close` works after a failed load."""

    plan: str
    """What is about to be loaded, and how, for the log."""

    def load(self) -> None:
        """Blocks until the model can answer. Raises EngineError."""
        ...

    def serving(self) -> AbstractAsyncContextManager[App]:
        """The app, for as long as the context lasts, on the event loop."""
        ...

    def close(self) -> None: ...


def say(text: str) -> None:
    print(f"moorage: {text}", file=sys.stderr, flush=True)  # noqa: T201


def main(kind: type[Settings], make: Callable[[Settings], Runtime]) -> int:
    """`python -m moorage.runtimes.NAME SETTINGS`: SETTINGS is a JSON file of wire.runtime; `make` imports more."""
    if len(sys.argv) != 2 or sys.argv[1] in {"-h", "--help"}:
        print(USAGE, file=sys.stderr)  # noqa: T201
        return 2
    try:
        data = sys.stdin.buffer.read() if sys.argv[1] == "-" else Path(sys.argv[1]).read_bytes()
        settings = runtime.decode(kind, data)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        print(f"cannot read the settings {sys.argv[1]!r}: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return run(settings, make)


def run(settings: Settings, make: Callable[[Settings], Runtime]) -> int:
    """Serve until SIGTERM. The exit code: 0 after a stop, 1 when the model could not be served."""
    os.umask(0o077)
    # Standard output is data, and there is none: whatever a library prints belongs in the log.
    os.dup2(2, 1)
    try:
        listening = bind(settings.socket)
    except EngineError as error:
        say(error.message)
        return 1
    own = os.stat(settings.socket).st_ino
    doorkeeper = Doorkeeper(listening, settings.model_path)
    doorkeeper.start()
    try:
        return _serve(settings, make, listening, doorkeeper)
    except EngineError as error:
        say(error.message)
        return 1
    finally:
        doorkeeper.stop()
        listening.close()
        _unlink(Path(settings.socket), own)


def _unlink(path: Path, own: int) -> None:
    """Remove our socket's file, not that of a successor that already took the path."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_ino == own:
            path.unlink()


def bind(path: str) -> socket.socket:
    """A listening Unix socket that only this user may reach. A dead one's file is replaced, a live one's is not."""
    with socket.socket(socket.AF_UNIX) as probe:
        with contextlib.suppress(OSError):
            probe.connect(path)
            raise EngineError(f"another process listens on {path}: stop it, or give this runtime another socket")
    try:
        return bind_unix(path)
    except OSError as error:
        raise EngineError(f"cannot listen on {path}: {error.strerror or error}") from error


def _serve(
    settings: Settings, make: Callable[[Settings], Runtime], listening: socket.socket, doorkeeper: Doorkeeper
) -> int:
    loaded = make(settings)
    try:
        before = time.monotonic()
        say(f"loading {settings.model_path}: {loaded.plan}")
        _load(loaded)
        say(f"loaded in {time.monotonic() - before:.1f} s, serving {settings.served_name!r}")
        doorkeeper.stop()
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_answer(settings, loaded, listening))
        say("stopped")
        return 0
    finally:
        loaded.close()


def _load(loaded: Runtime) -> None:
    try:
        loaded.load()
    except EngineError:
        # Libraries write their logs from threads: their reasons first, then our last line.
        time.sleep(LOG_FLUSH_S)
        raise


async def _answer(settings: RuntimeSettings, loaded: Runtime, listening: socket.socket) -> None:
    from moorage.http.server import Server

    async with loaded.serving() as app:
        server = Server(app, [listening], idle_timeout_s=KEEP_ALIVE_S)
        told = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, told.set)
        await server.start()
        failed = await _ended(told, app.failure)
        await server.stop(FAILED_GRACE_S if failed else settings.grace_s)
        if failed is not None:
            raise failed


async def _ended(told: asyncio.Event, failure: asyncio.Future[None] | None) -> BaseException | None:
    """Until the process is told to stop, or the library failed: why, then."""
    stopping = asyncio.create_task(told.wait())
    try:
        await asyncio.wait({stopping, failure} if failure else {stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
    return failure.exception() if failure is not None and failure.done() else None
