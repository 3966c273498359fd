"""The controller answers only who shows its token: gateways, workers, the supervisor. Users come through a gateway."""

import hmac

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from moorage.access import keys
from moorage.errors import NotAuthenticated


class Guard:
    """ASGI: 401 without the token, before anything is parsed."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        shown = keys.presented(scope["headers"]) or ""
        if not hmac.compare_digest(shown.encode(), self._token):
            error = NotAuthenticated("the controller's internal API wants the cluster's token")
            await JSONResponse(error.openai(), status_code=error.status)(scope, receive, send)
            return
        await self._app(scope, receive, send)
