"""`transformers serve` behind the product: what clients see is the same as with any other engine."""

import asyncio
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from tests.e2e.product import Product, wait_until
from tests.e2e.test_cancellation import leave
from tests.engines import vllm_parts

WITH_VLLM = vllm_parts.managed("transformers") is None
"""Its own environment is taken where there is one, else that of vLLM, of which it is a part."""

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(400),
    pytest.mark.skipif(vllm_parts.missing() is not None, reason=vllm_parts.missing() or ""),
]

NAME = "org/smol"
QUESTION = "What is the capital of France?"
IDLE_S, BUSY_SHARE = 0.5, 0.3


@pytest.fixture(scope="module")
def served(chat_weights: Path) -> Iterator[Product]:
    folder = Path(tempfile.mkdtemp(prefix="mo-"))
    source = str(vllm_parts.smollm2(chat_weights))
    config = {"models": [{"name": NAME, "aliases": ["smol"], "source": source, "engine": "transformers"}]}
    path = os.environ.get("PATH", os.defpath)
    environment = {"PATH": f"{path}:{Path(vllm_parts.python()).parent}"} if WITH_VLLM else {}
    try:
        with Product(folder, config, env=environment).start().ready(200) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def engine(served: Product) -> psutil.Process:
    models = served.get("/api/v1/status")[1]["models"]
    return psutil.Process(models[0]["targets"][0]["pid"])


async def post(session: aiohttp.ClientSession, body: dict[str, Any]) -> bytes:
    async with session.post("/v1/chat/completions", json=body) as reply:
        assert reply.status == 200, await reply.text()
        return await reply.read()


def chat(content: str, **fields: Any) -> dict[str, Any]:
    return {"model": "smol", "messages": [{"role": "user", "content": content}], "temperature": 0} | fields


async def test_chat_streamed_and_whole_say_the_same(served: Product) -> None:
    status, unary = served.chat("smol", QUESTION, temperature=0, max_tokens=12)
    assert status == 200, unary
    text = unary["choices"][0]["message"]["content"]
    assert "Paris" in text
    assert unary["model"] == "smol"
    assert unary["object"] == "chat.completion"
    async with aiohttp.ClientSession(served.url) as session:
        lines = (await post(session, chat(QUESTION, max_tokens=12, stream=True))).decode().split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    events = [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]
    assert all(event["model"] == "smol" for event in events)
    assert not any(event.get("usage") for event in events)
    assert "".join(choice["delta"].get("content") or "" for event in events for choice in event["choices"]) == text


def test_a_bound_is_kept_however_it_is_spelled(served: Product) -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        status, reply = served.post("/v1/chat/completions", chat("Tell me a long story.", **{name: 5}))
        assert status == 200, reply
        assert reply["usage"]["completion_tokens"] == 5
        assert reply["choices"][0]["finish_reason"] == "length"
    body = {"model": NAME, "prompt": "The capital of France is", "max_tokens": 3, "temperature": 0}
    status, reply = served.post("/v1/completions", body)
    assert status == 200, reply
    assert "Paris" in reply["choices"][0]["text"]


def test_what_it_lacks_is_refused(served: Product) -> None:
    status, reply = served.post("/tokenize", {"model": "smol", "prompt": "x"})
    assert (status, "which has no /tokenize" in reply["error"]["message"]) == (400, True)
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    status, reply = served.post("/v1/chat/completions", chat("x", tools=[tool], tool_choice="required", max_tokens=3))
    assert (status, reply["error"]["param"]) == (400, "tool_choice")
    assert served.post("/v1/embeddings", {"model": "smol", "input": "x"})[0] == 400


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_client_that_leaves_stops_the_work(served: Product, streamed: bool) -> None:
    """It tells no numbers: judged by the time its process takes of the processor."""
    process = engine(served)
    session = aiohttp.ClientSession(served.url)
    call = asyncio.create_task(post(session, chat("Tell me a very long story.", stream=streamed, max_tokens=1000)))
    await asyncio.sleep(2.0)
    assert not call.done()
    await leave(call)
    await session.close()
    began = time.monotonic()
    while busy(process) > BUSY_SHARE:
        assert time.monotonic() - began < 5.0, "it goes on without its client"
    assert served.chat("smol")[0] == 200


def busy(process: psutil.Process) -> float:
    """Processors it keeps busy."""
    before = sum(process.cpu_times()[:2])
    time.sleep(IDLE_S)
    return (sum(process.cpu_times()[:2]) - before) / IDLE_S


def test_killed_it_comes_back(served: Product) -> None:
    before = engine(served).pid
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: served.chat("smol")[0] == 200, 120, "an answer")
    assert engine(served).pid != before
