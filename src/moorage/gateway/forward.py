"""`/api/v1` is the controller's: its calls are passed on as they are, streams too."""

from collections.abc import Callable

from starlette.types import Receive, Scope, Send

from moorage.errors import MoorageError, NotReady, UpstreamUnreachable
from moorage.gateway.exchange import ClientLeft, Exchange
from moorage.gateway.identify import identify
from moorage.gateway.table import Table
from moorage.http.client import Client
from moorage.wire.control import PRINCIPAL_HEADER

KEPT_HEADERS = ("retry-after", "etag", "location", "allow")


class Forward:
    """An ASGI app in front of the controller. Callers are identified here, with the gateway's table."""

    def __init__(self, table: Callable[[], Table], client: Client, controller: str, token: str) -> None:
        self._table = table
        self._client = client
        self._controller = controller
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange = scope["moorage.exchange"]
        try:
            principal = identify(self._table().snapshot, exchange)
            body = await exchange.read(self._table().settings.max_request_bytes)
            async with exchange.connected():
                await self._pass_on(exchange, principal.name, body)
        except ClientLeft:
            return
        except UpstreamUnreachable:
            await exchange.fail(NotReady("the controller is away; try again shortly", retry_after_s=2.0))
        except MoorageError as error:
            await exchange.fail(error)

    async def _pass_on(self, exchange: Exchange, principal: str, body: bytes) -> None:
        scope = exchange.scope
        query = scope["query_string"].decode("latin-1")
        path = scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
        async with self._client.call(
            self._controller,
            scope["method"],
            path,
            body=body or None,
            token=self._token,
            headers={"X-Request-Id": exchange.id, PRINCIPAL_HEADER: principal},
        ) as reply:
            kept = [(name.encode(), reply.headers[name].encode()) for name in KEPT_HEADERS if name in reply.headers]
            await exchange.stream(status=reply.status, content_type=reply.content_type.encode(), headers=kept)
            async for chunk in reply.chunks():
                await exchange.write(chunk)
            await exchange.end()
