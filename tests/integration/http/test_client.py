"""Bodies the client reads while it sends them."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from moorage.errors import UpstreamBroken
from moorage.http.client import Client
from moorage.http.upload import Upload
from moorage.testing import FakeEngine

MB = 1024 * 1024


def upload(size: int, *, fails: bool = False, held: list[int] | None = None) -> Upload:
    async def pieces() -> AsyncIterator[bytes]:
        counted = held if held is not None else []
        counted.append(1)
        try:
            yield b'{"prompt":"'
            for _ in range(size):
                await asyncio.sleep(0)
                yield b"a" * MB
                if fails:
                    raise OSError("the disk is gone")
            yield b'"}'
        finally:
            counted.pop()

    return Upload("application/json", size * MB + 13, pieces)


@pytest.mark.parametrize("size", [0, 1, 5])
async def test_length_and_type_go_before_it(size: int) -> None:
    async with FakeEngine(kept_bytes=8 * MB) as engine, Client() as client:
        for _ in range(2):
            async with client.call(engine.address, "POST", "/tokenize", body=upload(size), timeout_s=10) as reply:
                assert json.loads(await reply.read())["count"] == (size > 0)
        assert engine.record.connections == 1
        (call, _) = engine.record.calls
        assert call.header("content-length") == str(len(call.body)) == str(size * MB + 13)
        assert call.header("content-type") == "application/json"


async def test_a_source_that_fails_breaks_the_call_off() -> None:
    async with FakeEngine() as engine, Client() as client:
        with pytest.raises(UpstreamBroken):
            async with client.call(engine.address, "POST", "/tokenize", body=upload(3, fails=True), timeout_s=10):
                pass
        assert engine.calls == []
        async with client.call(engine.address, "POST", "/tokenize", body=upload(1), timeout_s=10) as reply:
            assert reply.status == 200


async def test_leaving_lets_go_of_the_source_and_of_the_connection_at_once(short_tmp: Path) -> None:
    """Also where nobody reads what was sent."""
    lost, leave = asyncio.Event(), asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        await leave.wait()
        try:
            while await reader.read(MB):
                pass
        except ConnectionError:
            pass
        lost.set()
        writer.close()

    server = await asyncio.start_unix_server(hang, str(short_tmp / "s"), limit=1000)
    held: list[int] = []
    async with Client() as client:

        async def send() -> None:
            async with client.call(f"unix:{short_tmp}/s", "POST", "/", body=upload(50, held=held)):
                pass

        task = asyncio.create_task(send())
        async with asyncio.timeout(5):
            while not held:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            while held:
                await asyncio.sleep(0.001)
            leave.set()
            await lost.wait()
    server.close()
