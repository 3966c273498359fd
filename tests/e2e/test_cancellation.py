"""A client that leaves stops the engine's work: judged by the engine's own count of running calls."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from moorage.http.client import Client
from moorage.telemetry.exposition import read
from moorage.wire import table
from moorage.wire.table import Snapshot, TargetRow
from tests.e2e.product import Product

pytestmark = pytest.mark.engine

MODEL = "smol"
RUNNING = ("llamacpp:requests_processing", "moorage_runtime_sequences")
"""How the engines that `auto` takes call the number of calls they work on."""
LONG_PROMPT = "An anchor holds the ship in the harbour while the wind blows. " * 110
"""About 1,500 tokens: six steps of the engine."""


class Engine:
    """The engine behind the gateway, asked directly."""

    def __init__(self, client: Client, target: TargetRow, metrics: tuple[str, ...]) -> None:
        self._client = client
        self._target = target
        self._metrics = metrics

    @property
    def capacity(self) -> int:
        return self._target.capacity

    async def running(self) -> float:
        """The engine's own count, not ours."""
        async with self._client.call(
            self._target.address, "GET", "/metrics", token=self._target.token, timeout_s=5
        ) as reply:
            told = read((await reply.read()).decode())
            return next(told[name] for name in self._metrics if name in told)

    async def until(self, running: float, timeout_s: float) -> float:
        """Seconds until the count is so."""
        began = time.monotonic()
        while await self.running() != running:
            assert time.monotonic() - began < timeout_s, f"{await self.running()} running, not {running}"
            await asyncio.sleep(0.01)
        return time.monotonic() - began


@contextlib.asynccontextmanager
async def engine_of(product: Product, model: str, *metrics: str) -> AsyncGenerator[Engine]:
    state = next((product.folder / "state").glob("serve-*"))
    token = (state / "token").read_text().strip()
    async with Client() as client:
        address = f"unix:{state / 'run' / 'controller.sock'}"
        async with client.call(address, "GET", "/internal/v1/table", token=token) as reply:
            first = await anext(reply.chunks())
        snapshot = table.decode(first.splitlines()[0])
        assert isinstance(snapshot, Snapshot)
        row = next(t for t in snapshot.targets.values() if t.model == snapshot_model(snapshot, model))
        yield Engine(client, row, metrics or RUNNING)


def snapshot_model(snapshot: Snapshot, name: str) -> str:
    return next(row.id for row in snapshot.models.values() if name in row.names)


def body(content: str, *, stream: bool, max_tokens: int = 4000) -> dict[str, Any]:
    # A fresh beginning each time, so that no prefix is known and the prompt is really read.
    messages = [{"role": "user", "content": f"{time.monotonic_ns()} {content}"}]
    return {"model": MODEL, "messages": messages, "stream": stream, "max_tokens": max_tokens, "ignore_eos": True}


async def leave(call: "asyncio.Task[Any]") -> None:
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("phase", ["prefill", "decode"])
async def test_in_prefill_and_decode(served: Product, phase: str, stream: bool) -> None:
    async with engine_of(served, MODEL) as engine:
        await engine.until(0, 10)
        # One step where that is longer, and room for what else the machine does meanwhile.
        promise_s = max(1.0, 1.5 * await step_s(served)) + 0.5
        content = LONG_PROMPT if phase == "prefill" else "Tell me a very long story."
        session = aiohttp.ClientSession(served.url)
        call = asyncio.create_task(post(session, body(content, stream=stream)))
        await engine.until(1, 5)
        await asyncio.sleep(0.1 if phase == "prefill" else 0.8)
        assert await engine.running() == 1
        await leave(call)
        await session.close()
        assert await engine.until(0, 5.0) < promise_s


async def step_s(product: Product) -> float:
    """How long the engine takes for one step of 256 prompt tokens at present: half a second, more on busy cores."""
    async with aiohttp.ClientSession(product.url) as session:
        began = time.monotonic()
        reply = json.loads(await post(session, body(LONG_PROMPT, stream=False, max_tokens=1)))
        return (time.monotonic() - began) * 256 / reply["usage"]["prompt_tokens"]


@pytest.mark.parametrize("stream", [True, False])
async def test_in_the_queue(served: Product, stream: bool) -> None:
    """Calls beyond the engine's slots wait before it: when their clients leave, the engine never hears of them."""
    async with engine_of(served, MODEL) as engine, aiohttp.ClientSession(served.url) as holding:
        await engine.until(0, 10)
        holders = [
            asyncio.create_task(post(holding, body("A long story, please.", stream=True)))
            for _ in range(2 * engine.capacity)
        ]
        await engine.until(engine.capacity, 5)
        waiting = aiohttp.ClientSession(served.url)
        queued = [
            asyncio.create_task(post(waiting, body("And me?", stream=stream))) for _ in range(engine.capacity + 4)
        ]
        await asyncio.sleep(0.5)
        assert await engine.running() == engine.capacity
        for call in queued:
            await leave(call)
        await waiting.close()
        for call in holders:
            await leave(call)
        await holding.close()
        await engine.until(0, 3.0)
        await asyncio.sleep(0.3)
        assert await engine.running() == 0
    assert served.chat(MODEL)[0] == 200


async def post(session: aiohttp.ClientSession, content: dict[str, Any]) -> bytes:
    async with session.post("/v1/chat/completions", json=content) as reply:
        text = await reply.read()
        assert reply.status == 200, json.loads(text)
        return text


def test_long_prompt_is_long(served: Product) -> None:
    count = served.post("/tokenize", {"model": MODEL, "prompt": LONG_PROMPT})[1]["count"]
    assert 1300 < count < 1800, Path(__file__).name
