"""A controller of which only the table is left: one model, one target, no keys.

    python -m tests.bench.tables SOCKET TOKEN ADDRESS

Answers `GET /internal/v1/table` on the Unix socket SOCKET; ADDRESS is where the engine is.
"""

import asyncio
import sys

from starlette.applications import Starlette

from moorage.controller.api import internal
from moorage.controller.fleet import Fleet
from moorage.controller.guard import Guard
from moorage.controller.publisher import Publisher
from moorage.http.server import Server
from moorage.http.unix import bind_unix
from moorage.wire.table import ModelRow, Settings, Snapshot, TargetRow
from tests.bench.backend import MODEL

HEARTBEAT_S = 1.0
CAPACITY = 64
"""More than the connections of any case: queueing is not what is measured."""


def table(address: str) -> Snapshot:
    model = ModelRow(id=MODEL, names=(MODEL,), task="generate", created=1, max_model_len=8192)
    # Its replies carry the asked name already, as those of our own runtimes do.
    target = TargetRow(
        id="t0", model=MODEL, generation=1, state="ready", reason="", since=0.0, address=address, token="secret",
        served_name=MODEL, capacity=CAPACITY, echoes_model=True,
    )  # fmt: skip
    settings = Settings(anonymous=True)
    return Snapshot(epoch="", seq=0, settings=settings, models={model.id: model}, targets={target.id: target})


async def serve(path: str, token: str, address: str) -> None:
    publisher = Publisher(table(address))
    routes = internal.routes(Fleet(lambda: None), publisher, asyncio.Event())
    await Server(Guard(Starlette(routes=routes), token), [bind_unix(path)]).start()
    while True:
        await asyncio.sleep(HEARTBEAT_S)
        publisher.publish(publisher.current)


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
