"""llama-server behind the product: what clients see is the same as with any other engine."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from tests.e2e.product import Product, free_port, wait_until
from tests.e2e.test_cancellation import LONG_PROMPT, engine_of, leave, step_s
from tests.engines import llama_server

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(400),
    pytest.mark.skipif(llama_server.missing() is not None, reason=llama_server.missing() or ""),
]

ENGINE = "tests.engines.llama_server:engine"
NAME = "org/smol"
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


@pytest.fixture(scope="module")
def served(chat_weights: Path) -> Iterator[Product]:
    folder = Path(tempfile.mkdtemp(prefix="mo-"))
    options = {"max_model_len": 2048, "max_sequences": 2, "threads": 1}
    config = {
        "models": [
            {"name": NAME, "aliases": ["smol"], "source": str(chat_weights), "engine": ENGINE, "options": options},
            {"name": "vectors", "source": str(chat_weights), "task": "embed", "engine": ENGINE, "options": options},
        ]
    }
    try:
        with Product(folder, config).start().ready(240) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_a_chat_is_folded_out_of_a_stream(served: Product) -> None:
    status, body = served.chat("smol", temperature=0)
    assert status == 200
    assert (body["object"], body["model"]) == ("chat.completion", "smol")
    assert body["choices"][0]["message"]["role"] == "assistant"
    assert body["choices"][0]["message"]["content"]
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 8
    assert body["usage"]["total_tokens"] == 8 + body["usage"]["prompt_tokens"]
    assert "prompt_progress" not in body


async def test_a_stream_says_the_same_and_nothing_of_the_engines_own(served: Product) -> None:
    unary = served.chat("smol", temperature=0)[1]
    for usage in (True, False):
        events = await stream(served, chat("Say hello.", max_tokens=8, stream_options={"include_usage": usage}))
        assert all(event["model"] == "smol" for event in events)
        assert not any("prompt_progress" in event for event in events)
        text = "".join(choice["delta"].get("content") or "" for event in events for choice in event["choices"])
        assert text == unary["choices"][0]["message"]["content"]
        told = [event["usage"] for event in events if event.get("usage")]
        assert len(told) == (1 if usage else 0)
        assert all(one["completion_tokens"] == 8 for one in told)


def test_completions_of_several_prompts(served: Product) -> None:
    status, body = served.post("/v1/completions", {"model": "smol", "prompt": ["Once", "Two"], "max_tokens": 3})
    assert status == 200
    assert [choice["index"] for choice in body["choices"]] == [0, 1]
    assert all(choice["text"] for choice in body["choices"])


def test_embeddings(served: Product) -> None:
    status, body = served.post("/v1/embeddings", {"model": "vectors", "input": ["one", "two"]})
    assert status == 200
    assert [len(item["embedding"]) for item in body["data"]] == [576, 576]
    assert body["model"] == "vectors"
    assert body["usage"]["prompt_tokens"] > 0


def test_tokens_are_counted_in_vllms_shapes(served: Product) -> None:
    status, counted = served.post("/tokenize", {"model": "smol", "prompt": "hello world", "return_token_strs": True})
    assert status == 200
    assert counted == {"count": 2, "max_model_len": 2048, "tokens": [28120, 905], "token_strs": ["hello", " world"]}
    assert served.post("/detokenize", {"model": "smol", "tokens": counted["tokens"]})[1] == {"prompt": "hello world"}
    messages = [{"role": "user", "content": "Say hello."}]
    count = served.post("/tokenize", {"model": "smol", "messages": messages})[1]["count"]
    assert count == served.chat("smol")[1]["usage"]["prompt_tokens"]
    assert served.post("/tokenize", {"model": "smol"})[1]["error"]["param"] == "prompt"


@pytest.mark.parametrize(
    ("path", "fields", "status", "code", "words"),
    [
        ("/v1/chat/completions", {"messages": "x"}, 400, "invalid_request", "'messages'"),
        ("/v1/chat/completions", {"messages": [], "model": "nobody"}, 404, "model_not_found", "'org/smol'"),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": "Anchors hold. " * 1500}]},
            400,
            "context_length_exceeded",
            "2048",
        ),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": [IMAGE]}]},
            400,
            "invalid_request",
            "image input is not supported",
        ),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": "x"}], "tools": [TOOL], "tool_choice": "required"},
            400,
            "invalid_request",
            "knows no tools",
        ),
        ("/score", {"model": "vectors", "text_1": "a", "text_2": "b"}, 400, "invalid_request", "has no /score"),
        ("/v1/embeddings", {"input": "x"}, 400, "invalid_request", "it has no embeddings"),
    ],
)
def test_errors_are_openais(
    served: Product, path: str, fields: dict[str, Any], status: int, code: str, words: str
) -> None:
    for stream in (False, True) if "chat" in path else (False,):
        got, body = served.post(path, {"model": "smol", "max_tokens": 4, "stream": stream} | fields)
        assert got == status, body
        assert set(body["error"]) == {"message", "type", "param", "code"}
        assert body["error"]["code"] == code
        assert words in body["error"]["message"]


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("phase", ["prefill", "decode"])
async def test_a_client_that_leaves_stops_the_work(served: Product, phase: str, streamed: bool) -> None:
    """Judged by llama-server's own count, which it tells between two steps. It looks once a step, too."""
    async with engine_of(served, NAME) as engine:
        await engine.until(0, 10)
        promise_s = max(1.0, 3 * await step_s(served)) + 1.0
        content = LONG_PROMPT if phase == "prefill" else "Tell me a very long story."
        body = chat(f"{time.monotonic_ns()} {content}", stream=streamed, max_tokens=500, logit_bias={"2": -100})
        session = aiohttp.ClientSession(served.url)
        call = asyncio.create_task(post(session, body))
        await engine.until(1, 10)
        await asyncio.sleep(0.2 if phase == "prefill" else 1.5)
        await leave(call)
        await session.close()
        assert await engine.until(0, 15.0) < promise_s
    assert served.chat("smol")[0] == 200


def test_load_is_told_and_private_fields_do_not_pass(served: Product) -> None:
    status, _ = served.chat("smol", id_slot=99, cache_prompt=False, return_progress=False, lora=[{"id": 7, "scale": 1}])
    assert status == 200
    target = next(model for model in served.get("/api/v1/status")[1]["models"] if model["id"] == NAME)["targets"][0]
    assert (target["engine"], target["capacity"]) == ("llama-server", 2)
    assert target["load"]["running"] is not None
    assert any("knows no tools" in line for line in target["why"])


def test_killed_it_comes_back_and_leaves_nothing(served: Product) -> None:
    def pids() -> set[int]:
        return {p.pid for p in psutil.process_iter() if _is_server(p) and str(served.folder) in " ".join(p.cmdline())}

    before = pids()
    assert len(before) == 2
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(pids() - before) == 2, 30, "two new engines")
    wait_until(lambda: served.chat("smol")[0] == 200, 60, "an answer")
    assert not before & pids()


def _is_server(process: psutil.Process) -> bool:
    try:
        return any(word.endswith("llama-server") for word in process.cmdline()) and "ld-linux" in process.cmdline()[0]
    except (psutil.Error, IndexError):
        return False


def chat(content: str, **fields: Any) -> dict[str, Any]:
    body = {"model": "smol", "messages": [{"role": "user", "content": content}], "stream": True, "temperature": 0}
    return body | fields


async def post(session: aiohttp.ClientSession, body: dict[str, Any]) -> bytes:
    async with session.post("/v1/chat/completions", json=body) as reply:
        assert reply.status == 200, await reply.text()
        return await reply.read()


async def stream(served: Product, body: dict[str, Any]) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession(served.url) as session:
        lines = (await post(session, body)).decode().split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


async def test_one_that_somebody_else_runs(chat_weights: Path, short_tmp: Path) -> None:
    """By its address alone; what it is, and so how it wants to be asked, its answers tell."""
    port, key = free_port(), "somebodys-k3y"
    argv = [*llama_server.installation().command, "--model", str(chat_weights), "--port", str(port), "--metrics"]
    argv += ["--ctx-size", "4096", "--parallel", "2", "--batch-size", "256", "--ubatch-size", "256", "--threads", "1"]
    config = {"models": [{"name": "smol", "url": f"http://127.0.0.1:{port}", "api_key": key, "source": NAME}]}
    with open(short_tmp / "llama.log", "wb") as output:
        server = subprocess.Popen(
            [*argv, "--alias", NAME], env=os.environ | {"LLAMA_API_KEY": key}, stdout=output, stderr=output
        )
    try:
        with Product(short_tmp, config).start().ready(120) as product:
            model = product.get("/v1/models")[1]["data"][0]
            assert (model["max_model_len"], model["task"]) == (2048, "generate")
            assert product.post("/tokenize", {"model": "smol", "prompt": "hello world"})[1]["count"] == 2
            status, body = product.chat("smol", temperature=0)
            assert (status, body["model"], body["usage"]["completion_tokens"]) == (200, "smol", 8)
            async with engine_of(product, "smol") as engine:
                session = aiohttp.ClientSession(product.url)
                call = asyncio.create_task(
                    post(session, chat("A long story.", stream=False, max_tokens=900, logit_bias={"2": -100}))
                )
                await engine.until(1, 10)
                await leave(call)
                await session.close()
                assert await engine.until(0, 10.0) < 3.0
    finally:
        server.kill()
        server.wait(10)
