"""Clients that speak HTTP badly, or against us: raw sockets on a real gateway."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from moorage.testing import FakeEngine
from moorage.wire.control import PRINCIPAL_HEADER
from tests.integration.gateway.harness import TOKEN, Harness, chat, target

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


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


def post(content: str = "hello", headers: bytes = b"", **fields: Any) -> bytes:
    body = json.dumps(chat(content, **fields)).encode()
    return HEAD + headers + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


def replies(answer: bytes) -> list[tuple[int, dict[bytes, bytes], bytes]]:
    """Status, headers and body of every reply with a content-length in an answer."""
    found: list[tuple[int, dict[bytes, bytes], bytes]] = []
    while answer:
        head, _, rest = answer.partition(b"\r\n\r\n")
        status, *lines = head.split(b"\r\n")
        headers = dict(line.lower().split(b": ", 1) for line in lines)
        length = int(headers.get(b"content-length", b"0"))
        found.append((int(status.split()[1]), headers, rest[:length]))
        answer = rest[length:]
    return found


NOT_HTTP = {
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "the same length twice": HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "length and chunks": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "unknown coding": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "space before colon": HEAD + b"Transfer-Encoding : chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "folded header": HEAD + b"X-A: b\r\n c\r\nContent-Length: 2\r\n\r\n{}",
    "bare LF": b"GET /health HTTP/1.1\nHost: localhost\n\n",
    "negative length": HEAD + b"Content-Length: -1\r\n\r\n{}",
    "length beyond 64 bits": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n{}",
    "bad chunk size": CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n",
    "chunk beyond 64 bits": CHUNKED + b"ffffffffffffffffff\r\n{}",
    "no such method": b"FOO /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "NUL in the path": b"GET /v1/models/\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "raw UTF-8 in the path": "GET /v1/models/é HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(),
    "no path": b"GET http://example.com HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("sent", NOT_HTTP.values(), ids=NOT_HTTP)
async def test_what_is_no_http_is_told_so_as_openai_would(short_tmp: Path, sent: bytes) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine))
        answer = await said(gateway.port, sent)
        ((status, headers, body),) = replies(answer)
        assert status == 400
        assert headers[b"x-request-id"].startswith(b"req_")
        assert headers[b"connection"] == b"close"
        assert json.loads(body)["error"]["type"] == "invalid_request_error"
        assert engine.calls == []
        assert gateway.gateway.in_flight == 0


@pytest.mark.parametrize(
    "behind", [b"BAD\r\n\r\n", b"\x00\x00", post(), post()[:-10]], ids=["bad", "nul", "good", "half"]
)
@pytest.mark.parametrize("fault", ["", "[[fault: slow s=0.2]]"])
async def test_what_comes_behind_an_unanswered_request_spoils_nothing(
    short_tmp: Path, behind: bytes, fault: str
) -> None:
    """The first gets its answer; then the connection closes, and what came behind can be sent again."""
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine))
        answer = await said(gateway.port, post(fault) + behind)
        assert [status for status, _, _ in replies(answer)] == [200]
        assert len(engine.calls) == 1


async def test_a_client_that_leaves_behind_a_second_request_stops_the_first(short_tmp: Path) -> None:
    async with FakeEngine(prompt_delay_s=30) as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine))
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(post() + post())
        async with asyncio.timeout(3):
            while engine.record.running == 0:
                await asyncio.sleep(0.01)
            writer.close()
            while engine.record.running or gateway.gateway.in_flight:
                await asyncio.sleep(0.01)


UPGRADES = {
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
    "websocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
}


@pytest.mark.parametrize("offer", UPGRADES.values(), ids=UPGRADES)
@pytest.mark.parametrize("apart", [False, True])
async def test_an_offer_to_upgrade_is_declined_and_the_request_served(
    short_tmp: Path, offer: bytes, apart: bool
) -> None:
    """Java's client offers h2c with every POST. The body must never be taken for the next request."""
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine))
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        for _ in range(2):
            head, _, body = post(headers=offer).partition(b"\r\n\r\n")
            writer.write(head + b"\r\n\r\n")
            if apart:
                await asyncio.sleep(0.1)
            writer.write(body)
            async with asyncio.timeout(3):
                answer = await reader.readuntil(b"\r\n\r\n")
                length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                assert json.loads(await reader.readexactly(length))["object"] == "chat.completion"
        writer.close()
        assert len(engine.calls) == 2


BOMBS = {
    "one header": b"GET /health HTTP/1.1\r\nX: ",
    "a header's name": b"GET /health HTTP/1.1\r\n",
    "the path": b"GET /",
    "a chunk's extension": CHUNKED + b"1;",
    "a trailer": CHUNKED + b"1\r\n{\r\n0\r\nX: ",
}


@pytest.mark.parametrize("begin", BOMBS.values(), ids=BOMBS)
async def test_what_never_ends_is_cut_at_the_header_limit(short_tmp: Path, begin: bytes) -> None:
    """The parser would keep it all, and copy it anew for every piece."""
    async with Harness(short_tmp, header_bytes=4096) as gateway:
        await gateway.publish()
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(begin)
        for _ in range(10):
            writer.write(b"a" * 1000)
            await writer.drain()
            await asyncio.sleep(0.02)
        async with asyncio.timeout(3):
            ((status, _, body),) = replies(await reader.read())
        writer.close()
        assert status == 431
        assert "server.max_header_size" in json.loads(body)["error"]["message"]


async def test_trailers_are_no_headers(short_tmp: Path) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine))
        body = json.dumps(chat()).encode()
        trailers = b"Content-Encoding: gzip\r\nOrigin: http://example.com\r\n"
        answer = await said(gateway.port, CHUNKED + b"%x\r\n%s\r\n0\r\n%s\r\n" % (len(body), body, trailers), 0.5)
        assert [status for status, _, _ in replies(answer)] == [200]


async def test_an_answer_nobody_reads_is_dropped(short_tmp: Path) -> None:
    """A client that asks and asks and never reads must not keep its answers in our memory."""
    async with FakeEngine(max_model_len=10_000_000) as engine, Harness(short_tmp, idle_timeout_s=1.0) as gateway:
        await gateway.publish(target(engine))
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=1024)
        writer.write(post("[[fault: huge size=16000000]]"))
        received = len(await reader.readexactly(100))
        await asyncio.sleep(2.5)
        assert gateway.gateway.in_flight == 0
        try:
            async with asyncio.timeout(3):
                while piece := await reader.read(1_000_000):
                    received += len(piece)
        except ConnectionError:
            pass
        writer.close()
        assert received < 16_000_000


async def test_a_body_beyond_the_limit_is_told_to_the_end(short_tmp: Path) -> None:
    """A client that goes on sending reads 413 all the same: nothing is reset under its upload, nothing said twice."""
    async with Harness(short_tmp, body_timeout_s=1.0) as gateway:
        await gateway.publish(max_request_bytes=1000)
        for head in (HEAD + b"Content-Length: 5000000\r\n\r\n", CHUNKED + b"f4240\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(head)
            for _ in range(10):
                writer.write(b"a" * 90_000)
                await writer.drain()
            async with asyncio.timeout(3):
                ((status, _, body),) = replies(await reader.read())
            writer.close()
            assert status == 413
            assert "server.max_request_size" in json.loads(body)["error"]["message"]
