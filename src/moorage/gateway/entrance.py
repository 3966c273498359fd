"""One listener of a gateway: finds the hot routes before any router is asked, and shows all models or one."""

from collections.abc import Callable

from starlette.types import Message, Receive, Scope, Send

from moorage.errors import MethodNotAllowed
from moorage.gateway.exchange import Exchange
from moorage.gateway.forward import Forward
from moorage.gateway.peers import Peers
from moorage.gateway.pipeline import Pipeline
from moorage.gateway.routes import Routes
from moorage.gateway.surfaces.elastic import Elastic
from moorage.gateway.surfaces.hot import HOT
from moorage.gateway.table import Table


class Entrance:
    """The ASGI app of one listener."""

    def __init__(
        self,
        model: str,
        table: Callable[[], Table],
        pipeline: Pipeline,
        peers: Peers,
        forward: Forward,
        elastic: Callable[[Callable[[], Table]], Elastic],
        *,
        metrics: bool,
    ) -> None:
        """`model` is the id of the only model to show, empty for all; `elastic` makes handlers over what is shown."""
        self._model = model
        self._whole = table
        self._view: tuple[Table, Table] | None = None
        """The whole table that was shown last, and what of it is shown here."""
        self._table = self._showing if model else table
        self._pipeline = pipeline
        routes = Routes(self._table, peers, forward, elastic(self._table), metrics=table if metrics else None)
        self._routes = routes.app()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        surface = HOT.get(scope["path"])
        if surface is None:
            scope["moorage.exchange"] = exchange
            await self._routes(scope, receive, _with_request_id(exchange, send))
        elif scope["method"] == "POST":
            await self._pipeline.run(surface, exchange, self._table())
        else:
            message = f"{scope['method']} {scope['path']} is not possible; use POST"
            await exchange.fail(MethodNotAllowed(message, allowed=["POST"]))

    def _showing(self) -> Table:
        whole = self._whole()
        if self._view is None or self._view[0] is not whole:
            self._view = whole, whole.showing(self._model)
        return self._view[1]


def _with_request_id(exchange: Exchange, send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = message.setdefault("headers", [])
            if not any(name == b"x-request-id" for name, _ in headers):
                headers.append((b"x-request-id", exchange.id.encode()))
        await send(message)

    return sending
