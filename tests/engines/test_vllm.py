"""vLLM behind the product, on the processor: chat, encoders, adapters, clients that leave, engines that die or hang."""

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
from tests.e2e.test_cancellation import LONG_PROMPT, engine_of, leave, step_s
from tests.engines import vllm_parts

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(600),
    pytest.mark.skipif(vllm_parts.missing() is not None, reason=vllm_parts.missing() or ""),
]

NAME = "org/smol"
RUNNING = "vllm:num_requests_running"
START_S = 300.0


class Served:
    """The product with two vLLMs, and the folder where its adapters lie."""

    def __init__(self, product: Product, config: dict[str, Any], adapters: Path) -> None:
        self.product = product
        self.config = config
        self.adapters = adapters

    def target(self, model: str) -> dict[str, Any]:
        models = self.product.get("/api/v1/status")[1]["models"]
        return next(one for one in models if one["id"] == model)["targets"][0]

    def change(self, lora: dict[str, str]) -> None:
        self.config["models"][0]["options"]["lora"] = lora
        self.product.write_config(self.config)
        self.product.kill(signal.SIGHUP)


@pytest.fixture(scope="module")
def served(chat_weights: Path, embedding_weights: Path) -> Iterator[Served]:
    folder = Path(tempfile.mkdtemp(prefix="mo-"))
    adapters = folder / "adapters"
    first = vllm_parts.adapter(adapters / "first", 1)
    config: dict[str, Any] = {
        "server": {"request_timeout": "30s", "token_timeout": "8s"},
        "models": [
            {
                "name": NAME,
                "aliases": ["smol"],
                "source": str(vllm_parts.smollm2(chat_weights)),
                "engine": "vllm",
                "options": {"max_model_len": 4096, "max_sequences": 8, "lora": {"pirate": str(first)}},
            },
            {"name": "vectors", "source": str(embedding_weights), "engine": "vllm", "options": {"max_sequences": 8}},
        ],
    }
    try:
        with Product(folder, config, env=vllm_parts.path()).start().ready(START_S) as running:
            yield Served(running, config, adapters)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def chat(content: str, **fields: Any) -> dict[str, Any]:
    body = {"model": "smol", "messages": [{"role": "user", "content": content}], "stream": True, "temperature": 0}
    return body | fields


async def stream(product: Product, body: dict[str, Any]) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession(product.url) as session, session.post("/v1/chat/completions", json=body) as reply:
        assert reply.status == 200, await reply.text()
        lines = (await reply.read()).decode().split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


def text(reply: dict[str, Any]) -> str:
    return reply["choices"][0]["message"]["content"]


async def test_chat_streamed_and_whole_say_the_same(served: Served) -> None:
    status, unary = served.product.chat("smol", "What is the capital of France?", temperature=0, max_tokens=12)
    assert status == 200, unary
    assert "Paris" in text(unary)
    assert unary["model"] == "smol"
    assert unary["usage"]["completion_tokens"] > 0
    for usage in (True, False):
        body = chat("What is the capital of France?", max_tokens=12, stream_options={"include_usage": usage})
        events = await stream(served.product, body)
        assert all(event["model"] == "smol" for event in events)
        written = "".join(choice["delta"].get("content") or "" for event in events for choice in event["choices"])
        assert written == text(unary)
        assert sum(bool(event.get("usage")) for event in events) == int(usage)


def test_completion_with_logprobs_and_tokens(served: Served) -> None:
    body = {"model": NAME, "prompt": "The capital of France is", "max_tokens": 3, "temperature": 0, "logprobs": 2}
    status, reply = served.product.post("/v1/completions", body)
    assert status == 200, reply
    assert "Paris" in reply["choices"][0]["text"]
    told = reply["choices"][0]["logprobs"]
    assert len(told["tokens"]) == 3
    assert all(value <= 0 for value in told["token_logprobs"])
    status, counted = served.product.post("/tokenize", {"model": "smol", "prompt": "hello world"})
    assert (status, counted["count"], counted["max_model_len"]) == (200, 2, 4096)
    assert (
        served.product.post("/detokenize", {"model": "smol", "tokens": counted["tokens"]})[1]["prompt"] == "hello world"
    )


def test_a_schema_is_kept_to(served: Served) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 9}}, "required": ["n"]}
    form = {
        "type": "json_schema",
        "json_schema": {"name": "number", "schema": schema | {"additionalProperties": False}},
    }
    status, reply = served.product.chat("smol", "A number?", temperature=0, max_tokens=24, response_format=form)
    assert status == 200, reply
    assert isinstance(json.loads(text(reply))["n"], int)


def test_encoders_embed_score_and_rank(served: Served) -> None:
    status, reply = served.product.post("/v1/embeddings", {"model": "vectors", "input": ["a cat", "a kitten", "steel"]})
    assert status == 200, reply
    cat, kitten, steel = (item["embedding"] for item in reply["data"])
    assert len(cat) == 384
    assert dot(cat, kitten) > 0.6 > dot(cat, steel)
    status, reply = served.product.post(
        "/score", {"model": "vectors", "text_1": "a cat", "text_2": ["a kitten", "steel"]}
    )
    assert status == 200, reply
    near, far = (item["score"] for item in reply["data"])
    assert near == pytest.approx(dot(cat, kitten), abs=0.02)
    assert far == pytest.approx(dot(cat, steel), abs=0.02)
    body = {"model": "vectors", "query": "a cat", "documents": ["steel", "a kitten"], "top_n": 1}
    status, reply = served.product.post("/rerank", body)
    assert status == 200, reply
    assert [item["index"] for item in reply["results"]] == [1]


def dot(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_what_was_chosen_is_told(served: Served) -> None:
    target = served.target(NAME)
    assert (target["engine"], target["capacity"]) == ("vllm", 8)
    assert target["load"]["running"] is not None
    assert target["load"]["kv_used"] is not None
    said = "\n".join(target["why"])
    for words in (
        "4096 tokens a call: options.max_model_len",
        "GB of memory",
        "1 LoRA adapter",
        "starts without compiling",
    ):
        assert words in said
    for process in psutil.process_iter(["cmdline"]):
        assert "VLLM_API_KEY" not in " ".join(process.info["cmdline"] or ())


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("phase", ["prefill", "decode"])
async def test_a_client_that_leaves_stops_the_work(served: Served, phase: str, streamed: bool) -> None:
    """Judged by vLLM's own count, which is told anew at the end of a step."""
    async with engine_of(served.product, NAME, RUNNING) as engine:
        await engine.until(0, 20)
        promise_s = max(1.0, 4 * 1.5 * await step_s(served.product)) + 1.0
        content = 2 * LONG_PROMPT if phase == "prefill" else "Tell me a very long story."
        body = chat(f"{time.monotonic_ns()} {content}", stream=streamed, max_tokens=900, ignore_eos=True)
        session = aiohttp.ClientSession(served.product.url)
        call = asyncio.create_task(_post(session, body))
        await engine.until(1, 15)
        await asyncio.sleep(0.1 if phase == "prefill" else 1.0)
        await leave(call)
        await session.close()
        assert await engine.until(0, 20.0) < promise_s
    assert served.product.chat("smol")[0] == 200


async def _post(session: aiohttp.ClientSession, body: dict[str, Any]) -> bytes:
    async with session.post("/v1/chat/completions", json=body) as reply:
        return await reply.read()


def test_adapters_are_models_that_come_and_go_while_it_runs(served: Served) -> None:
    product, before = served.product, served.target(NAME)
    listed = {model["id"]: model for model in product.get("/v1/models")[1]["data"]}
    assert listed["pirate"]["parent"] == NAME
    assert "parent" not in listed[NAME]
    plain = text(product.chat("smol", temperature=0)[1])
    status, reply = product.chat("pirate", temperature=0)
    assert status == 200, reply
    assert reply["model"] == "pirate"
    assert text(reply) != plain
    second = vllm_parts.adapter(served.adapters / "second", 2)
    served.change({"pirate": str(served.adapters / "first"), "poet": str(second)})
    wait_until(lambda: product.chat("poet")[0] == 200, 30, "the second adapter")
    assert text(product.chat("poet", temperature=0)[1]) not in (plain, text(reply))
    served.change({"poet": str(second), "ghost": str(served.adapters / "nowhere")})
    wait_until(lambda: product.chat("pirate")[0] == 404, 30, "the first adapter is gone")
    wait_until(lambda: "nowhere" in served.target(NAME)["reason"], 30, "what is wrong with the third")
    assert product.chat("poet")[0] == 200
    assert product.get("/ready")[0] == 503
    served.change({"pirate": str(served.adapters / "first")})
    wait_until(lambda: product.chat("pirate")[0] == 200, 30, "the first adapter again")
    wait_until(lambda: product.get("/ready")[0] == 200, 30, "nothing is missing")
    assert text(product.chat("pirate", temperature=0)[1]) == text(reply)
    after = served.target(NAME)
    assert (after["generation"], after["pid"]) == (before["generation"], before["pid"])


def test_of_a_hung_engine_calls_end_by_their_deadlines(served: Served) -> None:
    pids = [process.pid for process in family(served.target(NAME)["pid"])]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        status, reply = served.product.post("/v1/chat/completions", chat("Hello?", stream=False, max_tokens=4), 50)
        assert status == 504, reply
        assert "server.request_timeout" in reply["error"]["message"]
        assert time.monotonic() - began < 40
        assert served.target(NAME)["load"]["running"] is None
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    wait_until(lambda: served.product.chat("smol")[0] == 200, 60, "it goes on")


def family(pid: int) -> list[psutil.Process]:
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


@pytest.mark.parametrize("victim", ["front", "engine"])
async def test_killed_it_comes_back_and_its_streams_end_in_an_error(served: Served, victim: str) -> None:
    target = served.target(NAME)
    processes = family(target["pid"])
    one = processes[0] if victim == "front" else processes[-1]
    async with aiohttp.ClientSession(served.product.url) as session:
        body = chat("A long story, please.", max_tokens=2000, ignore_eos=True)
        async with session.post("/v1/chat/completions", json=body) as reply:
            assert reply.status == 200
            await reply.content.readuntil(b"\n\n")
            one.kill()
            rest = (await asyncio.wait_for(reply.read(), 60)).decode()
    assert "[DONE]" not in rest
    last = rest.strip().split("\n\n")[-1]
    assert "error" in json.loads(last.removeprefix("data: "))
    wait_until(lambda: served.target(NAME)["generation"] > target["generation"], 60, "another start")
    wait_until(lambda: served.product.chat("smol")[0] == 200, START_S, "an answer")
    wait_until(lambda: not any(p.is_running() and p.status() != "zombie" for p in processes), 20, "nothing is left")
    assert served.product.chat("pirate")[0] == 200
