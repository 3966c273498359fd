"""The life of `moorage serve` in a terminal."""

import asyncio
from collections.abc import Callable

import uvloop
from rich.console import Console

from moorage.config.load import Loaded
from moorage.serve.gateways import log_file, log_style
from moorage.serve.reloading import Reloader
from moorage.serve.supervisor import Supervisor, until_told
from moorage.serve.terminal import until_settled, welcome
from moorage.telemetry import logs


def run(read: Callable[[], Loaded]) -> None:
    """Serve until told to stop. Raises ConfigError for what is found wrong before anything starts."""
    loaded = read()
    config = loaded.config
    logs.configure(log_style(config), config.logging.level, log_file(config))
    console = Console(stderr=True, highlight=False)
    for notice in loaded.notices:
        console.print(f"moorage: {notice}", markup=False, soft_wrap=True)
    for warning in loaded.warnings:
        console.print(f"moorage: warning: {warning}", style="yellow", markup=False, soft_wrap=True)
    uvloop.run(_serve(Supervisor(loaded), read, console))


async def _serve(supervisor: Supervisor, read: Callable[[], Loaded], console: Console) -> None:
    reloader = Reloader(supervisor, read)
    background: list[asyncio.Task[None]] = []
    try:
        await supervisor.start()
        background = [
            asyncio.create_task(_present(supervisor, console)),
            asyncio.create_task(reloader.run()),
        ]
        await until_told(reloader.asked)
        console.print("moorage: stopping; calls under way may finish")
    finally:
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        await supervisor.stop()


async def _present(supervisor: Supervisor, console: Console) -> None:
    assert supervisor.controller is not None
    now = await until_settled(supervisor.controller, console)
    welcome(console, now, supervisor.url, needs_key=bool(supervisor.loaded.config.auth.keys))
