"""The process: listen, load, serve, drain."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from moorage.errors import EngineError
from moorage.http.unix import bind_unix
from moorage.runtimes.llamacpp.loading import Doorkeeper
from moorage.wire.runtime import LlamaCppSettings

if TYPE_CHECKING:
    from moorage.runtimes.llamacpp.library import Library

LOG_FLUSH_S = 0.2
KEEP_ALIVE_S = 300.0
"""Longer than any client keeps an idle connection, so that none is closed under a call."""


def say(text: str) -> None:
    print(f"moorage: {text}", file=sys.stderr, flush=True)  # noqa: T201


def run(settings: LlamaCppSettings) -> int:
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
        return _serve(settings, listening, doorkeeper)
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


def _serve(settings: LlamaCppSettings, listening: socket.socket, doorkeeper: Doorkeeper) -> int:
    from moorage.runtimes.llamacpp.library import Library
    from moorage.runtimes.llamacpp.listener import private_socket

    library = Library(settings, private_socket(settings.socket))
    try:
        before = time.monotonic()
        say(
            f"loading {settings.model_path}: {settings.slots} slots of {settings.context} tokens, "
            f"{settings.threads} threads, {settings.batch_tokens} tokens a step"
        )
        _load(library)
        say(f"loaded in {time.monotonic() - before:.1f} s, serving {settings.served_name!r}")
        doorkeeper.stop()
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_answer(settings, library, listening))
        say("stopped")
        return 0
    finally:
        library.close()


def _load(library: "Library") -> None:
    try:
        library.load()
    except EngineError:
        # The library writes its log from a thread: its reasons first, then our last line.
        time.sleep(LOG_FLUSH_S)
        raise


async def _answer(settings: LlamaCppSettings, library: "Library", listening: socket.socket) -> None:
    from moorage.http.server import Server
    from moorage.runtimes.llamacpp.app import App
    from moorage.runtimes.llamacpp.caller import Caller
    from moorage.runtimes.llamacpp.listener import Listener
    from moorage.runtimes.llamacpp.metrics import Metrics
    from moorage.runtimes.llamacpp.slots import Slots

    listener = Listener(library)
    caller = Caller(library, Slots(settings.slots))
    try:
        info = await listener.info(settings.context)
        app = App(settings, info, caller, listener, Metrics(caller), library.fingerprint)
        server = Server(app, [listening], idle_timeout_s=KEEP_ALIVE_S)
        told = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, told.set)
        await server.start()
        await told.wait()
        await server.stop(settings.grace_s)
    finally:
        caller.close()
        await listener.close()
