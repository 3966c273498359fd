"""A worker in a process of its own, to be killed: `worker_process.py SETTINGS-AS-JSON`. Ends on SIGTERM."""

import asyncio
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from moorage.http.client import Client
from moorage.wire.control import Progress
from moorage.worker.app import Worker
from moorage.worker.settings import WorkerSettings


async def fetch(source: str, sha256: str | None, on_progress: Callable[[Progress], None] | None) -> Path:
    return Path(source)


async def main() -> None:
    fields: dict[str, Any] = json.loads(sys.argv[1])
    fields |= {name: Path(fields[name]) for name in ("run_dir", "log_dir", "api_socket")}
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with Client() as client:
        worker = Worker(WorkerSettings(**fields), client, fetch, tuple)
        await worker.start()
        await stop.wait()
        await worker.stop(5.0)


uvloop.run(main())
