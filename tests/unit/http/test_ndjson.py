import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from moorage.errors import DeadlineExceeded
from moorage.http.client import Client
from moorage.http.ndjson import follow
from moorage.http.refusal import Refused
from moorage.http.server import Server
from moorage.http.unix import bind_unix


async def told(path: Path, request_path: str, silence_s: float = 0.3) -> list[bytes]:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b'{"a"', b': 1}\n\n{"b": 2}\n', b"  \n{", b"}\n{unfinished"):
            yield piece
            await asyncio.sleep(0)

    async def stall() -> AsyncIterator[bytes]:
        yield b"{}\n"
        await asyncio.sleep(5)

    async def hang(_: Request) -> Response:
        await asyncio.sleep(5)
        return Response()

    async def whole(_: Request) -> Response:
        return StreamingResponse(pieces())

    async def stalled(_: Request) -> Response:
        return StreamingResponse(stall())

    async def refused(_: Request) -> Response:
        return JSONResponse({"error": {"message": "not you"}}, status_code=409)

    endpoints = {"/whole": whole, "/stalled": stalled, "/hang": hang, "/refused": refused}
    server = Server(Starlette(routes=[Route(at, one) for at, one in endpoints.items()]), [bind_unix(path)])
    await server.start()
    try:
        async with Client() as client:
            return [line async for line in follow(client, f"unix:{path}", request_path, token="", silence_s=silence_s)]
    finally:
        await server.stop(0.05)


async def test_lines_are_whole_however_they_come(short_tmp: Path) -> None:
    assert await told(short_tmp / "s", "/whole") == [b'{"a": 1}', b'{"b": 2}', b"{}"]


@pytest.mark.parametrize("path", ["/stalled", "/hang"])
async def test_silence_ends_it_before_and_after_the_headers(short_tmp: Path, path: str) -> None:
    with pytest.raises(DeadlineExceeded, match=r"said nothing on .* for 0\.3 s"):
        await told(short_tmp / "s", path)


async def test_a_refusal_is_told_in_the_servers_words(short_tmp: Path) -> None:
    with pytest.raises(Refused, match="not you"):
        await told(short_tmp / "s", "/refused")
