import json
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from moorage.errors import MoorageError, NotAuthenticated, NotReady
from moorage.http.answer import ERROR_HANDLERS
from moorage.http.client import Client
from moorage.http.server import Server
from moorage.http.unix import bind_unix


async def fail(request: Request) -> Response:
    errors: dict[str, Exception] = {
        "busy": NotReady("later", retry_after_s=0.2),
        "stranger": NotAuthenticated("who are you"),
        "fault": ZeroDivisionError("a secret"),
    }
    raise errors[request.path_params["how"]]


@pytest.mark.parametrize(
    ("method", "path", "status", "message", "headers"),
    [
        ("GET", "/busy", 503, "later", {"retry-after": "1"}),
        ("GET", "/stranger", 401, "who are you", {"www-authenticate": "Bearer"}),
        ("GET", "/fault", 500, "internal error (ZeroDivisionError); the server's log has more", {}),
        ("GET", "/no/such", 404, "there is no '/no/such' here", {}),
        ("POST", "/busy", 405, "POST /busy is not possible; use GET, HEAD", {}),
    ],
)
async def test_every_error_is_answered_in_one_shape(
    short_tmp: Path, method: str, path: str, status: int, message: str, headers: dict[str, str]
) -> None:
    app = Starlette(routes=[Route("/{how}", fail)], exception_handlers=ERROR_HANDLERS)
    server = Server(app, [bind_unix(short_tmp / "s")])
    await server.start()
    async with Client() as client, client.call(f"unix:{short_tmp}/s", method, path, timeout_s=5) as reply:
        error = json.loads(await reply.read())["error"]
        assert (reply.status, error["message"]) == (status, message)
        assert {"message", "type", "param", "code"} == set(error)
        assert {name: reply.headers.get(name) for name in headers} == headers
    await server.stop(1)


def test_headers_are_the_errors_own() -> None:
    assert MoorageError("x").headers() == {}
    assert NotReady("x", retry_after_s=7.6).headers() == {"retry-after": "8"}
