"""The API of gateways and workers. Its messages are those of `wire`, the same on a Unix socket and over TLS."""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import TypeVar

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from moorage.controller.fleet import LEASE_S, Fleet
from moorage.controller.publisher import Publisher, Reader
from moorage.errors import BadRequest, RequestTimeout
from moorage.http.answer import Said
from moorage.wire.api.elastic import ScaleReply, ScaleRequest, Scaling, ScalingQuery
from moorage.wire.control import Hello, Report, Welcome

NDJSON = "application/x-ndjson"
REPORT_EVERY_S = 1.0
HEARTBEAT_S = 1.0
LOOK_EVERY_S = 0.1

T = TypeVar("T")

log: structlog.stdlib.BoundLogger = structlog.get_logger("controller")

_encode = msgspec.json.Encoder().encode


class Internal:
    """Handlers over the fleet and the publisher."""

    def __init__(self, fleet: Fleet, publisher: Publisher, changed: asyncio.Event) -> None:
        self._fleet = fleet
        self._publisher = publisher
        self._changed = changed

    async def table(self, request: Request) -> Response:
        query = request.query_params
        reader = Reader(query.get("process", "?"), int(query.get("pid", "0") or 0))
        return StreamingResponse(self._publisher.follow(reader), media_type=NDJSON)

    async def hello(self, request: Request) -> Response:
        self._fleet.hello(await read(request, Hello))
        return Response(_encode(Welcome(report_every_s=REPORT_EVERY_S, lease_s=LEASE_S)), media_type="application/json")

    async def orders(self, request: Request) -> Response:
        worker = request.path_params["id"]
        self._fleet.worker(worker, request.query_params.get("incarnation", ""))
        return StreamingResponse(self._follow_orders(worker), media_type=NDJSON)

    async def report(self, request: Request) -> Response:
        self._fleet.report(request.path_params["id"], await read(request, Report))
        self._changed.set()
        return Response(b"{}", media_type="application/json")

    async def _follow_orders(self, worker: str) -> AsyncGenerator[bytes]:
        """At once, whenever they change, and as a heartbeat."""
        while True:
            reordered = self._fleet.reordered
            yield _encode(self._fleet.orders(worker)) + b"\n"
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await reordered.wait()
            except TimeoutError:
                continue


class Scaler:
    """More or fewer replicas of a model, for gateways that were asked for them."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def scale(self, request: Request) -> Response:
        """Returns when as many are ready as are wanted, or nobody waits for it any more.

        Raises RequestTimeout. The wish stands nevertheless.
        """
        asked = await read(request, ScaleRequest)
        model = asked.model or ""
        self._fleet.scale(model, asked.new_data_parallel_size)
        log.info("scaling", model=model, replicas=asked.new_data_parallel_size)
        deadline = time.monotonic() + asked.drain_timeout
        while waiting := self._fleet.scaling(model):
            if await request.is_disconnected():
                break
            if time.monotonic() > deadline:
                reasons = "; ".join(f"{row.id} is {row.state}: {row.reason}" for row in waiting[:3])
                raise RequestTimeout(
                    f"{len(waiting)} of {asked.new_data_parallel_size} replicas of {model!r} are not ready within "
                    f"drain_timeout ({asked.drain_timeout:g} s), and go on starting: {reasons}"
                )
            await asyncio.sleep(LOOK_EVERY_S)
        return Said(ScaleReply(message=f"Scaled to {asked.new_data_parallel_size} replicas"))

    async def scaling(self, request: Request) -> Response:
        asked = await read(request, ScalingQuery)
        return Said(Scaling(is_scaling_elastic_ep=bool(self._fleet.scaling(asked.model or ""))))


async def read(request: Request, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"not a {kind.__name__}: {error}") from error


def routes(fleet: Fleet, publisher: Publisher, changed: asyncio.Event) -> list[Route]:
    api = Internal(fleet, publisher, changed)
    scaler = Scaler(fleet)
    return [
        Route("/internal/v1/models/scale", scaler.scale, methods=["POST"]),
        Route("/internal/v1/models/scaling", scaler.scaling, methods=["POST"]),
        Route("/internal/v1/table", api.table),
        Route("/internal/v1/workers", api.hello, methods=["POST"]),
        Route("/internal/v1/workers/{id}/orders", api.orders),
        Route("/internal/v1/workers/{id}/report", api.report, methods=["POST"]),
    ]
