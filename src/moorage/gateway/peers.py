"""The gateways of one machine answer `/metrics` and `/load` for all of them, whichever gets the call."""

import asyncio
from collections.abc import Callable

import msgspec
import structlog
from prometheus_client import generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from moorage.errors import MoorageError
from moorage.http.client import Client
from moorage.telemetry import exposition
from moorage.telemetry.gateway import GatewayMetrics
from moorage.wire.launch import private_socket

log = structlog.get_logger("gateway.peers")

ASK_S = 2.0
"""How long a peer may take; one that hangs is left out of the answer, which says so."""


def private_app(metrics: GatewayMetrics, in_flight: Callable[[], int]) -> Starlette:
    """What a gateway tells its peers, on a socket only this user can open."""

    def tell_metrics(_: Request) -> Response:
        return Response(generate_latest(metrics.registry), media_type=exposition.TEXT)

    def tell_load(_: Request) -> Response:
        return JSONResponse({"in_flight": in_flight()})

    return Starlette(routes=[Route("/metrics", tell_metrics), Route("/load", tell_load)])


class Peers:
    """All gateways of this machine, this one among them."""

    def __init__(self, client: Client, socket_dir: str, processes: int) -> None:
        self._client = client
        self._addresses = {str(n): "unix:" + private_socket(socket_dir, n) for n in range(processes)}

    async def metrics(self) -> str:
        return exposition.merge({process: body.decode() for process, body in (await self._ask("/metrics")).items()})

    async def in_flight(self) -> int:
        answers = await self._ask("/load")
        return sum(msgspec.json.decode(body, type=dict[str, int])["in_flight"] for body in answers.values())

    async def _ask(self, path: str) -> dict[str, bytes]:
        answers = await asyncio.gather(*(self._ask_one(process, path) for process in self._addresses))
        return {process: body for process, body in zip(self._addresses, answers, strict=True) if body is not None}

    async def _ask_one(self, process: str, path: str) -> bytes | None:
        try:
            async with self._client.call(self._addresses[process], "GET", path, timeout_s=ASK_S) as reply:
                return await reply.read()
        except MoorageError as error:
            log.warning("a gateway does not answer", process=process, error=error.message)
            return None
