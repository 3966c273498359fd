"""Engines that fail, clients that leave, deadlines that run out."""

import asyncio
import io
import json
import os
import time
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from moorage.gateway.refusal import refusal
from moorage.testing import FakeEngine
from tests.contract.openai_schema import validate
from tests.integration.gateway.harness import JSON, MODEL, Harness, chat, target

BEFORE_THE_FIRST_BYTE = [
    "reset", "truncate", "garbage", "reset after=0", "truncate after=0", "503", "500", "429", "json",
]  # fmt: skip
AFTER_THE_FIRST_BYTE = ["reset after=3", "truncate after=3", "undone", "error after=3", "stall after=3"]


async def until(condition: Any, timeout_s: float = 3.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)


def texts(stream: str) -> str:
    chunks = [json.loads(line[6:]) for line in stream.split("\n") if line.startswith("data: {")]
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk.get("choices", []))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", BEFORE_THE_FIRST_BYTE)
async def test_a_failure_before_the_first_byte_is_made_good_elsewhere(
    short_tmp: Path, fault: str, stream: bool
) -> None:
    async with FakeEngine() as bad, FakeEngine() as good, Harness(short_tmp) as gateway:
        kind, *rest = fault.split()
        if kind.isdigit():
            bad.fault("status", code=int(kind))
        else:
            bad.fault(kind, **{key: int(value) for key, _, value in (word.partition("=") for word in rest)})
        await gateway.publish(target(bad, "a"), target(good, "b"))
        async with gateway.http.post("/v1/chat/completions", json=chat("[[say: fair winds]]", stream=stream)) as reply:
            text = await reply.text()
        assert reply.status == 200, text
        assert ("fair winds" in text) or (texts(text) == "fair winds")
        assert (len(bad.calls), len(good.calls)) == (1, 1)
        assert gateway.lines()[0]["attempts"] == 2


@pytest.mark.parametrize("fault", AFTER_THE_FIRST_BYTE)
async def test_a_broken_stream_ends_in_an_error_event_and_never_in_done(short_tmp: Path, fault: str) -> None:
    pace: dict[str, Any] = {"tokens_per_s": 100.0}
    async with FakeEngine(**pace) as engine, FakeEngine(**pace) as other, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine, "a"), target(other, "b"), token_timeout_s=0.3)
        body = chat(f"[[say: one two three four five]] [[fault: {fault}]]", stream=True)
        async with gateway.http.post("/v1/chat/completions", json=body) as reply:
            text = await reply.text()
        assert reply.status == 200
        last = text.strip().split("\n\n")[-1]
        assert last.startswith('data: {"error"'), text
        assert "[DONE]" not in text
        assert engine.address not in text
        assert "Error" not in last
        assert texts(text).startswith("one two three")
        assert len(engine.calls) + len(other.calls) == 1
        (line,) = gateway.lines()
        assert (line["outcome"], line["phase"]) == ("broken", "decode")


@pytest.mark.parametrize("fault", ["500", "json", "garbage", "refuse s=30"])
async def test_with_no_engine_left_the_caller_gets_a_clear_error(short_tmp: Path, fault: str) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine))
        async with gateway.http.post("/v1/chat/completions", json=chat(f"[[fault: {fault}]]")) as reply:
            error = (await reply.json())["error"]
        assert reply.status == 502, error
        assert error["message"]
        # Where our engines listen, and what the library calls their faults, is nobody's business.
        assert engine.address not in error["message"]
        assert "aiohttp" not in error["message"]
        assert "\n" not in error["message"]
        assert error["type"] == "upstream_error"


@pytest.mark.parametrize("seconds", ["9" * 400, "²", "-1", "Fri, 31 Dec 1999 23:59:59 GMT"])
def test_an_engines_odd_retry_after_is_no_fault_of_ours(seconds: str) -> None:
    error = refusal(503, b"{}", seconds)
    assert error.retry_after_s is not None
    assert 1 <= error.retry_after_s <= 3600


async def test_an_engine_that_says_busy_is_503_with_retry_after(short_tmp: Path) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        engine.fault("status", code=429, s=7.0)
        await gateway.publish(target(engine))
        async with gateway.http.post("/v1/chat/completions", json=chat()) as reply:
            assert (reply.status, reply.headers["retry-after"]) == (503, "7")


async def test_an_engine_that_is_gone_is_waited_for(short_tmp: Path) -> None:
    """A crash and a restart in the middle of a call are a delay, not an error."""
    async with FakeEngine() as dying, FakeEngine() as reborn, Harness(short_tmp) as gateway:
        await gateway.publish(target(dying))
        dying.fault("reset")
        call = asyncio.create_task(
            gateway.http.post("/v1/chat/completions", json=chat("[[say: back again]]", stream=True)).__aenter__()
        )
        await until(lambda: dying.calls)
        await gateway.publish(target(dying, state="starting", reason="restarting"))
        await asyncio.sleep(0.2)
        await gateway.publish(target(reborn, generation=2))
        reply = await call
        assert texts(await reply.text()) == "back again"
        assert len(reborn.calls) == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("phase", ["queued", "prefill", "decode"])
async def test_a_client_that_leaves_stops_the_work(short_tmp: Path, stream: bool, phase: str) -> None:
    slow: dict[str, Any] = {"prefill": {"prompt_delay_s": 30.0}, "decode": {"tokens_per_s": 5.0}}.get(phase, {})
    async with FakeEngine(**slow) as engine, Harness(short_tmp) as gateway:
        ready = target(engine) if phase != "queued" else target(engine, state="starting")
        await gateway.publish(ready)
        async with aiohttp.ClientSession(gateway.url) as client:
            call = asyncio.create_task(
                client.post("/v1/chat/completions", json=chat(stream=stream, max_tokens=100)).__aenter__()
            )
            if phase == "queued":
                await asyncio.sleep(0.2)
            else:
                await until(lambda: engine.record.running == 1)
                await asyncio.sleep(0.3)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        left = time.monotonic()
        await until(lambda: gateway.gateway.in_flight == 0, 1.0)
        await until(lambda: engine.record.running == 0, 1.0)
        assert time.monotonic() - left < 1.0
        (line,) = gateway.lines()
        assert (line["outcome"], line["status"]) == ("cancelled", 499)
        assert line["phase"] == (phase if stream or phase != "decode" else "prefill")
        async with gateway.http.get("/metrics") as reply:
            assert f'moorage_cancellations_total{{model="org/model",phase="{line["phase"]}"}} 1.0' in await reply.text()


async def test_a_client_that_leaves_while_it_uploads_is_no_error(short_tmp: Path) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine))
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.close()
        await until(lambda: gateway.gateway.in_flight == 0 and gateway.lines())
        assert gateway.lines()[0]["phase"] == "reading"


@pytest.mark.parametrize(
    ("settings", "stream", "setting"),
    [
        ({"request_timeout_s": 0.3}, False, "server.request_timeout"),
        ({"request_timeout_s": 0.3}, True, "server.request_timeout"),
        ({"total_timeout_s": 0.3}, False, "server.total_timeout"),
    ],
)
async def test_deadlines_name_their_setting(
    short_tmp: Path, settings: dict[str, Any], stream: bool, setting: str
) -> None:
    async with FakeEngine(prompt_delay_s=20.0) as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine), **settings)
        async with gateway.http.post("/v1/chat/completions", json=chat(stream=stream)) as reply:
            assert reply.status == 504
            assert setting in (await reply.json())["error"]["message"]
        await until(lambda: engine.record.running == 0)


async def test_a_healthy_stream_may_outlast_the_request_timeout(short_tmp: Path) -> None:
    async with FakeEngine(tokens_per_s=20.0) as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine), request_timeout_s=0.4, token_timeout_s=0.4)
        async with gateway.http.post("/v1/chat/completions", json=chat(stream=True, max_tokens=20)) as reply:
            assert (await reply.text()).endswith("data: [DONE]\n\n")
        assert gateway.lines()[0]["elapsed_s"] > 0.9


async def test_calls_beyond_the_seats_wait_here_and_not_at_the_engine(short_tmp: Path) -> None:
    async with FakeEngine(prompt_delay_s=0.1) as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine, capacity=2))

        async def one() -> int:
            async with gateway.http.post("/v1/chat/completions", json=chat()) as reply:
                await reply.read()
                return reply.status

        assert set(await asyncio.gather(*(one() for _ in range(12)))) == {200}
        assert engine.record.running_max <= 3


async def test_a_full_queue_and_a_vain_wait_say_when_to_come_back(short_tmp: Path) -> None:
    async with FakeEngine(prompt_delay_s=5.0) as engine, Harness(short_tmp) as gateway:
        small = msgspec.structs.replace(MODEL, queue_size=1)
        await gateway.publish(target(engine, capacity=1), models=[small], queue_timeout_s=0.5)

        async def one() -> tuple[int, str, str | None]:
            async with gateway.http.post("/v1/chat/completions", json=chat()) as reply:
                code = (await reply.json()).get("error", {}).get("code")
                return reply.status, code, reply.headers.get("retry-after")

        calls = [asyncio.create_task(one()) for _ in range(4)]
        done, _ = await asyncio.wait(calls, timeout=2.0)
        refused = sorted(call.result()[1] for call in done)
        assert refused == ["model_not_ready", "overloaded"]
        assert all(call.result()[0] == 503 and int(call.result()[2] or 0) >= 1 for call in done)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


async def test_a_model_that_gave_up_is_said_at_once_with_its_reason(short_tmp: Path) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine, state="failed", reason="the file is truncated"))
        async with gateway.http.post("/v1/chat/completions", json=chat()) as reply:
            assert reply.status == 503
            assert "the file is truncated" in (await reply.json())["error"]["message"]


async def test_the_table_outlives_the_controller(short_tmp: Path) -> None:
    copy = str(short_tmp / "table.json")
    async with FakeEngine() as engine:
        async with Harness(short_tmp, table_copy=copy) as gateway:
            await gateway.publish(target(engine))
            await gateway.stop_controller()
            await asyncio.sleep(0.3)
            async with gateway.http.post("/v1/chat/completions", json=chat()) as reply:
                assert reply.status == 200
            async with gateway.http.get("/api/v1/status") as reply:
                assert reply.status == 503
        assert os.stat(copy).st_mode & 0o077 == 0


@pytest.mark.parametrize("framing", ["crlf", "cr", "comments", "split", "drip", "usage"])
async def test_every_framing_of_a_stream_comes_through_whole(short_tmp: Path, framing: str) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine))
        body = chat(f"[[say: déjà vu 世界 ⚓ done]] [[fault: {framing}]]", stream=True)
        async with gateway.http.post("/v1/chat/completions", json=body) as reply:
            text = await reply.text()
        assert texts(text.replace("\r\n", "\n").replace("\r", "\n")) == "déjà vu 世界 ⚓ done"
        assert "[DONE]" in text


async def test_a_slow_reader_stops_the_engine_instead_of_filling_memory(short_tmp: Path) -> None:
    async with FakeEngine(max_model_len=1_000_000) as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine), token_timeout_s=1.0)
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=1024)
        body = json.dumps(chat(stream=True, max_tokens=200_000)).encode()
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body))
        writer.write(body)
        await reader.readexactly(100)
        await asyncio.sleep(0.5)
        written = engine.record.tokens
        assert 0 < written < 150_000
        await until(lambda: gateway.gateway.in_flight == 0, 10.0)
        assert engine.record.running == 0
        writer.close()


async def test_a_client_that_leaves_after_a_large_body_is_seen(short_tmp: Path) -> None:
    """Reading is paused behind a body larger than the buffers; a client that goes then must be seen all the same."""
    async with FakeEngine(prompt_delay_s=30.0) as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine))
        async with aiohttp.ClientSession(gateway.url) as client:
            body = io.BytesIO(json.dumps(chat("x" * 2_000_000)).encode())
            call = asyncio.create_task(client.post("/v1/chat/completions", data=body, headers=JSON).__aenter__())
            await until(lambda: engine.record.running == 1)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        await until(lambda: gateway.gateway.in_flight == 0 and engine.record.running == 0, 1.0)


async def test_an_engine_that_stops_only_streams_is_always_asked_for_one(short_tmp: Path) -> None:
    """And what it streams is folded for a client that did not ask for a stream."""
    async with FakeEngine(model="served", cancels="streams") as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine, cancels_unary=False))
        async with gateway.http.post("/v1/chat/completions", json=chat("[[say: fair winds]]", n=2)) as reply:
            whole = await reply.json()
        validate("CreateChatCompletionResponse", whole)
        assert [choice["message"]["content"] for choice in whole["choices"]] == ["fair winds"] * 2
        assert (whole["model"], whole["object"], whole["usage"]["completion_tokens"]) == (
            "org/model",
            "chat.completion",
            4,
        )
        assert engine.calls[0].json["stream"] is True
        async with gateway.http.post("/v1/chat/completions", json=chat("[[fault: truncate after=2]]")) as reply:
            assert (reply.status, (await reply.json())["error"]["code"]) == (502, "upstream_broken")


async def test_such_an_engine_stops_when_the_client_of_a_whole_reply_leaves(short_tmp: Path) -> None:
    async with FakeEngine(tokens_per_s=5.0, cancels="streams") as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine, cancels_unary=False))
        async with aiohttp.ClientSession(gateway.url) as client:
            call = asyncio.create_task(client.post("/v1/chat/completions", json=chat(max_tokens=100)).__aenter__())
            await until(lambda: engine.record.running == 1)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        await until(lambda: engine.record.running == 0, 1.0)
