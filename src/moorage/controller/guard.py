"""The controller answers only who shows its token: gateways, workers, the supervisor. Users come through a gateway.

A gateway that passes a user's call on says for whom; such a call gets `/api/v1` and nothing else, whatever its path
looked like on the way here.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from moorage.access import keys
from moorage.errors import Forbidden, MoorageError, NotAuthenticated
from moorage.http.answer import answer
from moorage.wire.control import PRINCIPAL_HEADER

USERS_PATH = "/api/v1/"
_PRINCIPAL = PRINCIPAL_HEADER.lower().encode()


class Guard:
    """ASGI: 401 without the token, 403 for a user's call to the internal API, before anything is parsed."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (error := self._refusal(scope)) is None:
            await self._app(scope, receive, send)
        else:
            await answer(error)(scope, receive, send)

    def _refusal(self, scope: Scope) -> MoorageError | None:
        if not keys.carries(scope["headers"], self._token):
            return NotAuthenticated("the controller's internal API wants the cluster's token")
        for_user = any(name == _PRINCIPAL for name, _ in scope["headers"])
        if for_user and not scope["path"].startswith(USERS_PATH):
            return Forbidden("users' calls reach nothing but /api/v1")
        return None
