"""More or fewer copies of a model while it serves.

An engine with elastic expert parallelism is asked itself; of every other model the controller changes the replicas.
"""

import json
from collections.abc import Callable
from typing import Any, TypeVar, get_args

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from moorage.errors import NotReady, UpstreamUnreachable
from moorage.gateway.exchange import ClientLeft, Exchange
from moorage.gateway.table import Table
from moorage.http.client import Client
from moorage.wire.api.decoding import decode
from moorage.wire.api.elastic import ScaleRequest, ScalingQuery
from moorage.wire.names import Task
from moorage.wire.table import TargetRow

SCALE = "/scale_elastic_ep"
SCALING = "/is_scaling_elastic_ep"
CONTROLLER = "/internal/v1/models"
START_S = 1800.0
"""Beyond draining: loading the weights of a large model once more."""
LEFT = 499
"""Of an answer that nobody reads any more, as nginx has it."""

Asked = TypeVar("Asked", ScaleRequest, ScalingQuery)


class Elastic:
    """Handlers over the listener's table."""

    def __init__(self, table: Callable[[], Table], client: Client, controller: str, token: str) -> None:
        self._table = table
        self._client = client
        self._controller = controller
        self._token = token

    async def scale(self, request: Request) -> Response:
        asked = decode(ScaleRequest, await self._body(request))
        exchange: Exchange = request.scope["moorage.exchange"]
        try:
            async with exchange.connected():
                return await self._scale(asked)
        except ClientLeft:
            return Response(status_code=LEFT)

    async def _scale(self, asked: ScaleRequest) -> Response:
        model, engines = self._engines(asked)
        wait_s = asked.drain_timeout + START_S
        if not engines:
            return await self._control(f"{CONTROLLER}/scale", asked, model, wait_s)
        reply = Response()
        for engine in engines:
            # Only what vLLM knows: it refuses more, and the name of the model is ours.
            wish = {"new_data_parallel_size": asked.new_data_parallel_size, "drain_timeout": int(asked.drain_timeout)}
            reply = await self._ask(engine.address, SCALE, json.dumps(wish).encode(), engine.token, wait_s)
            if reply.status_code >= 400:
                break
        return reply

    async def is_scaling(self, request: Request) -> Response:
        asked = decode(ScalingQuery, await self._body(request) or b"{}")
        model, engines = self._engines(asked)
        if not engines:
            return await self._control(f"{CONTROLLER}/scaling", asked, model, 10.0)
        replies = [await self._ask(engine.address, SCALING, b"{}", engine.token, 10.0) for engine in engines]
        return next((reply for reply in replies if b"true" in bytes(reply.body).lower()), replies[0])

    async def _body(self, request: Request) -> bytes:
        exchange: Exchange = request.scope["moorage.exchange"]
        return await exchange.read(self._table().settings.max_request_bytes)

    def _engines(self, asked: ScaleRequest | ScalingQuery) -> tuple[str, list[TargetRow]]:
        """The model meant, and those of its engines that scale by themselves."""
        table = self._table()
        row = table.model(asked.model) if asked.model else table.sole(get_args(Task))
        ready = [target for target in table.targets.get(row.id, ()) if target.state == "ready"]
        # A LoRA adapter is scaled with its model.
        return row.parent or row.id, [target for target in ready if target.manners.elastic]

    async def _control(self, path: str, asked: Struct, model: str, wait_s: float) -> Response:
        body = msgspec.json.encode(msgspec.structs.replace(asked, model=model))
        try:
            return await self._ask(self._controller, path, body, self._token, wait_s)
        except UpstreamUnreachable as error:
            raise NotReady("the controller is away; try again shortly", retry_after_s=2.0) from error

    async def _ask(self, address: str, path: str, body: bytes, token: str, wait_s: float) -> Response:
        async with self._client.call(
            address, "POST", path, body=body, token=token, timeout_s=wait_s, name="the engine"
        ) as reply:
            content: Any = await reply.read()
            return Response(content, status_code=reply.status, media_type=reply.content_type or "application/json")
