"""The routes that are not hot: models, health, metrics, and the controller's API passed on. Served by Starlette."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import moorage
from moorage.errors import MoorageError
from moorage.gateway.exchange import Exchange
from moorage.gateway.identify import identify
from moorage.gateway.openapi.pages import Pages
from moorage.gateway.peers import Peers
from moorage.gateway.surfaces import health, models
from moorage.gateway.surfaces.elastic import SCALE, SCALING, Elastic
from moorage.gateway.table import Table
from moorage.http.answer import ERROR_HANDLERS, Said
from moorage.telemetry import exposition, replicas
from moorage.wire.api.health import ServerLoad, Version

Handler = Callable[[Request], Awaitable[Response]]


class Routes:
    """Handlers over what a gateway knows. /health, /ready, /ping and /version need no key: probes have none."""

    def __init__(
        self,
        table: Callable[[], Table],
        peers: Peers,
        forward: "Forward",
        elastic: Elastic,
        *,
        metrics: Callable[[], Table] | None,
    ) -> None:
        """`table` is what the listener shows, `metrics` the table that /metrics tells of, None for no such route."""
        self._measured = metrics
        self._table = table
        self._peers = peers
        self._forward = forward
        self._elastic = elastic

    def app(self) -> Starlette:
        guarded = self._guarded
        app = Starlette(
            routes=[
                Route("/v1/models", guarded(self._models)),
                Route("/v1/models/{id:path}", guarded(self._model)),
                Route("/health", self._health),
                Route("/ready", self._ready),
                Route("/ping", self._ping, methods=["GET", "POST"]),
                Route("/version", self._version),
                Route("/load", guarded(self._load)),
                Route(SCALE, guarded(self._elastic.scale), methods=["POST"]),
                Route(SCALING, guarded(self._elastic.is_scaling), methods=["POST"]),
                *([Route("/metrics", guarded(self._metrics))] if self._measured else []),
                *Pages(self._table).routes(),
                Route("/api/v1/{rest:path}", self._forward),  # by any method: which are possible, the controller knows
            ],
            exception_handlers=ERROR_HANDLERS,
        )
        app.router.redirect_slashes = False  # it would send callers to whatever their Host header names
        return app

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            identify(self._table().snapshot, cast("Exchange", request.scope["moorage.exchange"]))
            return await handler(request)

        return guarded

    def _knows(self, request: Request) -> bool:
        """Whether the caller may use the models."""
        try:
            identify(self._table().snapshot, cast("Exchange", request.scope["moorage.exchange"]))
        except MoorageError:
            return False
        return True

    async def _models(self, _: Request) -> Response:
        return Said(models.listing(self._table()))

    async def _model(self, request: Request) -> Response:
        name = cast("str", request.path_params["id"])
        return Said(models.model(self._table().model(name), name))

    async def _health(self, request: Request) -> Response:
        return Said(health.health(self._table(), reasons=self._knows(request)))

    async def _ready(self, _: Request) -> Response:
        status, body = health.ready(self._table())
        return Said(body, status_code=status, headers={"retry-after": "2"} if status == 503 else {})

    async def _ping(self, _: Request) -> Response:
        return Response(status_code=200)

    async def _version(self, _: Request) -> Response:
        return Said(Version(version=moorage.__version__))

    async def _load(self, _: Request) -> Response:
        return Said(ServerLoad(server_load=await self._peers.in_flight()))

    async def _metrics(self, _: Request) -> Response:
        assert self._measured is not None
        text = await self._peers.metrics() + replicas.exposition(self._measured().snapshot)
        return PlainTextResponse(text, media_type=exposition.TEXT)


Forward = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI app."""
