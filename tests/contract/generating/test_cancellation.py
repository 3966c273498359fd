"""A client that leaves stops the engine, judged by the library's own count of running calls."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.runtimes.runtime import Runtime, until

pytestmark = pytest.mark.engine

CHAT, COMPLETE = "/v1/chat/completions", "/v1/completions"
STOP_S = 3.0
"""The promise is a second, or one engine step; the machine that runs this may be busy."""


@pytest.fixture
def idle(generate: Runtime) -> Iterator[Runtime]:
    until(lambda: generate.processing() == 0, 30)
    yield generate
    until(lambda: generate.processing() == 0, 30)


def long_call(words: int = 1, **fields: Any) -> dict[str, Any]:
    """A call that would run for a long time, with a prompt that no cache holds."""
    nonce = str(fields)
    content = f"{id(fields)} {nonce} " + "word " * words
    return {"messages": [{"role": "user", "content": content}], "max_tokens": 1800, "ignore_eos": True, **fields}


def stops(runtime: Runtime, connection: socket.socket) -> None:
    before = runtime.metric("moorage_runtime_calls_cancelled_total")
    connection.close()
    until(lambda: runtime.processing() == 0, STOP_S, "the engine still works for a client that left")
    assert runtime.metric("moorage_runtime_calls_cancelled_total") > before
    until(lambda: runtime.metric("moorage_runtime_running") == 0, STOP_S)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
def test_in_decode(idle: Runtime, stream: bool) -> None:
    tokens = idle.metric("moorage_runtime_tokens_total")
    connection = idle.open(CHAT, long_call(stream=stream))
    until(lambda: idle.metric("moorage_runtime_tokens_total") > tokens + 2, 20)
    stops(idle, connection)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
def test_in_a_prompt_of_1500_tokens(idle: Runtime, stream: bool) -> None:
    tokens = idle.metric("moorage_runtime_tokens_total")
    connection = idle.open(CHAT, long_call(1500, stream=stream, max_tokens=400))
    until(lambda: idle.processing() == 1, 20)
    assert idle.metric("moorage_runtime_tokens_total") == tokens, "it is beyond its prompt"
    stops(idle, connection)
    assert idle.metric("moorage_runtime_tokens_total") == tokens, "it was not stopped in its prompt"


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
def test_in_the_queue(idle: Runtime, stream: bool) -> None:
    running = [idle.open(CHAT, long_call(stream=True)) for _ in range(4)]
    until(lambda: idle.processing() == 4, 20)
    started = idle.metric("moorage_runtime_calls_total")
    queued = idle.open(CHAT, long_call(stream=stream))
    until(lambda: idle.metric("moorage_runtime_queued") == 1, 10)
    queued.close()
    until(lambda: idle.metric("moorage_runtime_queued") == 0, STOP_S)
    for connection in running:
        connection.close()
    until(lambda: idle.processing() == 0, STOP_S)
    assert idle.metric("moorage_runtime_calls_total") == started, "a call nobody waited for was started"


def test_several_choices_and_prompts(idle: Runtime) -> None:
    connection = idle.open(COMPLETE, {"prompt": ["a", "b", "c"], "n": 6, "max_tokens": 1800, "ignore_eos": True})
    until(lambda: idle.processing() == 4, 20)
    stops(idle, connection)


def test_a_forced_call(idle: Runtime) -> None:
    numbers = {"type": "array", "items": {"type": "integer"}, "minItems": 900}
    endless = {"type": "object", "properties": {"x": numbers}, "required": ["x"]}
    tools = [{"type": "function", "function": {"name": "f", "parameters": endless}}]
    connection = idle.open(CHAT, long_call(tools=tools, tool_choice="required", stream=True))
    tokens = idle.metric("moorage_runtime_tokens_total")
    until(lambda: idle.metric("moorage_runtime_tokens_total") > tokens + 2, 20)
    stops(idle, connection)


def test_a_reader_that_stops_reading_holds_up_nobody(idle: Runtime) -> None:
    slow = idle.open(CHAT, long_call(stream=True, logprobs=True))
    until(lambda: idle.processing() == 1, 20)
    assert idle.chat("Say hi.", max_tokens=3).status == 200
    stops(idle, slow)
