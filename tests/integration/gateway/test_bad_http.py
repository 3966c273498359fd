"""Clients that speak HTTP badly, or against us: raw sockets on a real gateway."""

import asyncio
from pathlib import Path

import pytest

from moorage.wire.control import PRINCIPAL_HEADER
from tests.integration.gateway.harness import TOKEN, Harness


async def said(port: int, sent: bytes, timeout_s: float = 3.0) -> bytes:
    """Everything the gateway answers until it closes, or stays silent for a while."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    answer = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            while piece := await reader.read(65536):
                answer += piece
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()
    return bytes(answer)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/../../internal/v1/table",
        "/api/v1/%2e%2e/%2E%2e/internal/v1/table",
        "/api/v1/..%2f..%2finternal/v1/table",
        "/api/v1/./../.././internal/v1/table",
        "//api/v1/../../internal/v1/table",
    ],
)
async def test_no_path_leads_from_the_public_api_to_the_internal_one(short_tmp: Path, path: str) -> None:
    """The internal table holds the pepper and the engines' tokens."""
    async with Harness(short_tmp) as gateway:
        await gateway.publish()
        answer = await said(
            gateway.port, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )
        assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 403")), answer[:200]
        assert b"pepper" not in answer


async def test_the_controller_itself_keeps_users_calls_out_of_its_internal_api(short_tmp: Path) -> None:
    async with (
        Harness(short_tmp) as gateway,
        gateway.internal("/internal/v1/table", {PRINCIPAL_HEADER: "eve"}) as reply,
    ):
        assert reply.status == 403
        assert TOKEN not in (await reply.read()).decode()
