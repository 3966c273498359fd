import asyncio
import json
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from moorage.errors import UpstreamBroken, UpstreamUnreachable
from moorage.http.client import Client
from moorage.testing import FakeEngine, Fault
from moorage.wire.sse import EventSplitter, data_of

CHAT = "/v1/chat/completions"


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="m-") as name:
        yield Path(name)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client() as one:
        yield one


def chat(content: str = "hello there", **fields: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": content}], **fields}).encode()


async def post(client: Client, engine: FakeEngine, body: bytes, path: str = CHAT, **options: Any) -> tuple[int, bytes]:
    async with client.call(engine.address, "POST", path, body=body, timeout_s=20, **options) as reply:
        return reply.status, await reply.read()


async def events(client: Client, engine: FakeEngine, body: bytes, path: str = CHAT) -> list[bytes]:
    splitter = EventSplitter()
    found: list[bytes] = []
    async with client.call(engine.address, "POST", path, body=body, timeout_s=20) as reply:
        assert reply.status == 200
        async for chunk in reply.chunks():
            found += [data for one in splitter.feed(chunk) if (data := data_of(one)) is not None]
    assert splitter.rest == b""
    return found


def text_of(found: list[bytes]) -> str:
    chunks = [json.loads(one) for one in found if one != b"[DONE]"]
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


async def until(condition: Callable[[], bool], within_s: float = 5.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        await asyncio.sleep(0.01)


async def test_a_reply_is_the_same_streamed_and_not(client: Client) -> None:
    async with FakeEngine(model="boat") as engine:
        status, body = await post(client, engine, chat(max_tokens=20))
        whole = json.loads(body)
        streamed = await events(
            client, engine, chat(max_tokens=20, stream=True, stream_options={"include_usage": True})
        )
    assert status == 200
    assert whole["object"] == "chat.completion"
    assert whole["model"] == "boat"
    assert whole["choices"][0]["finish_reason"] == "length"
    assert whole["usage"] == {"prompt_tokens": 2, "completion_tokens": 20, "total_tokens": 22}
    assert text_of(streamed) == whole["choices"][0]["message"]["content"]
    assert streamed[-1] == b"[DONE]"
    assert json.loads(streamed[-2])["usage"] == whole["usage"]


async def test_said_text_comes_back(client: Client) -> None:
    async with FakeEngine() as engine:
        _, body = await post(client, engine, chat("x [[say: Ahoy, ⚓  world!\n]]", n=2))
        found = await events(client, engine, chat("x [[say: Ahoy, ⚓  world!\n]]", stream=True))
    assert [one["message"]["content"] for one in json.loads(body)["choices"]] == ["Ahoy, ⚓  world!\n"] * 2
    assert text_of(found) == "Ahoy, ⚓  world!\n"


async def test_a_forced_tool_is_called(client: Client) -> None:
    tools: list[dict[str, Any]] = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
    async with FakeEngine() as engine:
        ask = chat('[[say: {"city": "Oslo"}]]', tools=tools, tool_choice="required")
        _, body = await post(client, engine, ask)
    choice = json.loads(body)["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city": "Oslo"}'}


async def test_the_other_routes(client: Client) -> None:
    async with FakeEngine(model="boat") as engine:
        _, completion = await post(client, engine, b'{"prompt":"a b","max_tokens":3}', "/v1/completions")
        _, vectors = await post(client, engine, b'{"input":["a b","c"]}', "/v1/embeddings")
        _, tokens = await post(client, engine, b'{"prompt":"a b c"}', "/tokenize")
        async with client.call(engine.address, "GET", "/v1/models") as reply:
            models = json.loads(await reply.read())
        async with client.call(engine.address, "GET", "/metrics") as reply:
            metrics = (await reply.read()).decode()
        missing, _ = await post(client, engine, b"{}", "/v1/none")
        wrong, why = await post(client, engine, b"{nonsense")
    assert json.loads(completion)["choices"][0]["text"] == "The anchor holds"
    assert len(json.loads(vectors)["data"]) == 2
    assert json.loads(vectors)["usage"]["prompt_tokens"] == 3
    assert json.loads(tokens)["count"] == 3
    assert models["data"][0]["id"] == "boat"
    assert 'vllm:generation_tokens_total{model_name="boat"} 3' in metrics
    assert (missing, wrong) == (404, 400)
    assert b"invalid_request_error" in why


async def test_it_encodes(client: Client) -> None:
    async with FakeEngine(model="boat") as engine:

        async def said(path: str, **body: Any) -> Any:
            status, reply = await post(client, engine, json.dumps(body).encode(), path)
            assert status == 200
            assert json.loads(reply)["model"] == "boat"
            return json.loads(reply)

        assert len((await said("/v2/embed", texts=["a b", "c"]))["embeddings"]["float"]) == 2
        for path in ("/rerank", "/v1/rerank", "/v2/rerank"):
            reply = await said(path, query="b", documents=["a", {"text": "b"}], top_n=1)
            assert [one["index"] for one in reply["results"]] == [1]
        assert [one["score"] for one in (await said("/score", text_1="a", text_2=["a", "b"]))["data"]] == [1, 0]
        scored = await said("/v1/score", data_1=["a", "b"], data_2=["a", "a"])
        assert [one["score"] for one in scored["data"]] == [1, 0]
        assert sum((await said("/classify", input=["a", "b"]))["data"][1]["probs"]) == 1
        assert len((await said("/pooling", input="a b c", task="token_embed"))["data"][0]["data"]) == 3
        wrong, _ = await post(client, engine, b'{"text_1":["a","b"],"text_2":["a","b","c"]}', "/score")
        assert wrong == 400


FORM = (
    b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n\x00\r\n\xff\r\n--b--\r\n'
)
FORM_HEADERS = {"Content-Type": "multipart/form-data; boundary=b"}
SPEECH = "/v1/audio/transcriptions"


async def test_it_transcribes(client: Client) -> None:
    async with FakeEngine() as engine:
        _, whole = await post(client, engine, FORM % (b"prompt", b"[[say: ahoy there]]"), SPEECH, headers=FORM_HEADERS)
        async with client.call(
            engine.address, "POST", SPEECH, body=FORM % (b"stream", b"true"), headers=FORM_HEADERS
        ) as reply:
            streamed = (await reply.read()).decode()
        broken, why = await post(client, engine, FORM[:-9] % (b"a", b"b"), SPEECH, headers=FORM_HEADERS)
        odd, _ = await post(client, engine, FORM % (b"response_format", b"opera"), SPEECH, headers=FORM_HEADERS)
        file = engine.calls[0].form.file
    assert json.loads(whole)["text"] == "ahoy there"
    assert file is not None
    assert (file.filename, bytes(file.body)) == ("a.wav", b"\x00\r\n\xff")
    assert streamed.count("transcript.text.delta") == 16
    assert streamed.endswith("data: [DONE]\n\n")
    assert (broken, odd) == (400, 400)
    assert b"cut" in why


async def test_a_token_is_demanded(client: Client) -> None:
    async with FakeEngine(token="secret") as engine:
        assert (await post(client, engine, chat()))[0] == 401
        assert (await post(client, engine, chat(), token="secret"))[0] == 200
        assert engine.calls[-1].header("Authorization") == "Bearer secret"
        assert engine.calls[-1].json["model"] == "m"


@pytest.mark.parametrize("kind", ["reset", "truncate", "garbage"])
@pytest.mark.parametrize("after", [None, 0, 3])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_broken_reply_is_never_whole(client: Client, kind: str, after: int | None, stream: bool) -> None:
    at = "" if after is None else f"after={after}"
    async with FakeEngine() as engine:
        with pytest.raises(UpstreamBroken):
            await post(client, engine, chat(f"[[fault: {kind} {at}]]", stream=stream))
        assert engine.calls[0].outcome == "faulted"
        assert engine.record.faulted == 1
        if stream and after:
            assert engine.calls[0].tokens == 3
        status, _ = await post(client, engine, chat())
        assert status == 200


async def test_a_reset_is_a_reset_on_the_wire() -> None:
    async with FakeEngine(Fault(kind="reset")) as engine:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(engine.address.rpartition(":")[2]))
        body = chat()
        writer.write(b"POST %b HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (CHAT.encode(), len(body), body))
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


@pytest.mark.parametrize("uds", [True, False])
async def test_a_client_that_leaves_stops_the_work(client: Client, folder: Path, uds: bool) -> None:
    async with FakeEngine(uds=str(folder / "s") if uds else "", tokens_per_s=100) as engine:
        async with client.call(engine.address, "POST", CHAT, body=chat(stream=True, max_tokens=5000)) as reply:
            await anext(reply.chunks())
            left_at = time.monotonic()
        await until(lambda: engine.record.running == 0)
        call = engine.calls[0]
        assert call.outcome == "cancelled"
        assert engine.record.cancelled == 1
        assert call.disconnected_at is not None
        assert left_at <= call.disconnected_at < left_at + 1
        assert call.tokens_after_disconnect == 0


async def test_an_engine_that_does_not_look_works_on(client: Client) -> None:
    async with FakeEngine(tokens_per_s=200, cancels="streams") as engine:
        asking = asyncio.create_task(post(client, engine, chat(max_tokens=40)))
        await until(lambda: engine.record.tokens >= 3)
        asking.cancel()
        await until(lambda: engine.record.finished == 1)
        assert engine.calls[0].tokens == 40
        assert engine.record.tokens_after_disconnect > 20


async def test_slots_make_calls_wait_and_a_waiting_client_may_leave(client: Client) -> None:
    async with FakeEngine(slots=1, tokens_per_s=100) as engine:
        first = asyncio.create_task(post(client, engine, chat(max_tokens=30)))
        await until(lambda: engine.record.running == 1)
        second = asyncio.create_task(post(client, engine, chat(max_tokens=1)))
        third = asyncio.create_task(post(client, engine, chat(max_tokens=1)))
        await until(lambda: engine.record.queued == 2)
        third.cancel()
        await until(lambda: engine.record.queued == 1)
        await asyncio.gather(first, second)
        assert engine.record.running_max == 1
        assert (engine.record.finished, engine.record.cancelled) == (2, 1)


async def test_stall_and_its_end(client: Client) -> None:
    async with FakeEngine() as engine:
        began = time.monotonic()
        found = await events(client, engine, chat("[[fault: stall after=2 s=0.3]]", stream=True))
        assert time.monotonic() - began >= 0.3
        assert found[-1] == b"[DONE]"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(post(client, engine, chat("[[fault: stall]]")), 0.3)
        await until(lambda: engine.record.cancelled == 1)


@pytest.mark.parametrize("framing", ["crlf", "cr", "split", "comments", "drip size=7 s=0"])
async def test_odd_framing_carries_the_same_reply(client: Client, framing: str) -> None:
    async with FakeEngine() as engine:
        plain = await events(client, engine, chat(stream=True))
        odd = await events(client, engine, chat(f"[[fault: {framing}]]", stream=True))
    assert text_of(odd) == text_of(plain)
    assert odd[-1] == b"[DONE]"


async def test_faulty_content(client: Client) -> None:
    async with FakeEngine() as engine:
        undone = await events(client, engine, chat("[[fault: undone after=2]]", stream=True))
        assert len(undone) == 3
        assert b"[DONE]" not in undone
        errors = await events(client, engine, chat("[[fault: error after=2]]", stream=True))
        assert json.loads(errors[-2])["error"]["message"] == "broken on demand"
        usage = await events(client, engine, chat("[[fault: usage]]", stream=True))
        assert all("usage" in json.loads(one) for one in usage[:-1])
        named = await events(client, engine, chat("[[fault: model name=x]]", stream=True))
        assert json.loads(named[0])["model"] == "x"
        _, broken = await post(client, engine, chat("[[fault: json]]"))
        with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
            json.loads(broken)
        _, huge = await post(client, engine, chat("[[fault: huge size=100000]]"))
        assert len(huge) > 100_000
        status, body = await post(client, engine, chat("[[fault: 503 s=7]]", stream=True))
        assert status == 503
        assert json.loads(body)["error"]["message"] == "broken on demand"


async def test_faults_wear_off_and_are_kept_to_their_path(client: Client) -> None:
    async with FakeEngine() as engine:
        engine.fault("status", code=500, times=2)
        statuses = [(await post(client, engine, chat()))[0] for _ in range(3)]
        assert statuses == [500, 500, 200]
        engine.fault("status", code=503, path="/health")
        async with client.call(engine.address, "GET", "/health") as reply:
            assert reply.status == 503
        assert (await post(client, engine, chat()))[0] == 200
        engine.heal()
        async with client.call(engine.address, "GET", "/health") as reply:
            assert reply.status == 200


async def test_a_connection_closed_behind_a_good_reply(client: Client) -> None:
    async with FakeEngine() as engine:
        for _ in range(3):
            assert (await post(client, engine, chat("[[fault: close]]")))[0] == 200
            await asyncio.sleep(0.02)
        assert engine.record.connections == 3


async def test_connections_are_refused_and_taken_again(client: Client, folder: Path) -> None:
    async with FakeEngine(uds=str(folder / "s")) as engine:
        await engine.refuse()
        with pytest.raises(UpstreamUnreachable):
            await post(client, engine, chat())
        await engine.accept()
        assert (await post(client, engine, chat()))[0] == 200
        with pytest.raises(UpstreamBroken):
            await post(client, engine, chat("[[fault: refuse s=0.3]]"))
        await asyncio.sleep(0.05)
        with pytest.raises(UpstreamUnreachable):
            await post(client, engine, chat())
        await asyncio.sleep(0.5)
        assert (await post(client, engine, chat()))[0] == 200


async def test_keep_alive_and_pipelined_requests(client: Client) -> None:
    async with FakeEngine() as engine:
        for _ in range(5):
            await post(client, engine, chat())
        assert engine.record.connections == 1
        with socket.create_connection(("127.0.0.1", int(engine.address.rpartition(":")[2]))) as raw:
            reader, writer = await asyncio.open_connection(sock=raw)
            writer.write(b"GET /health HTTP/1.1\r\n\r\n" * 2 + b"GET /health HTTP/1.0\r\n\r\n")
            assert (await reader.read()).count(b'{"status":"ok"}') == 3
            writer.close()


async def test_bytes_that_are_no_http(client: Client) -> None:
    async with FakeEngine() as engine:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(engine.address.rpartition(":")[2]))
        writer.write(b"\x16\x03\x01nonsense\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
        writer.close()


def test_a_directive_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="no fault 'sink'; choose one of slow"):
        Fault.parse("sink")
    with pytest.raises(ValueError, match="a fault has no 'afer'"):
        Fault.parse("stall afer=3")


async def test_a_body_nested_beyond_reason_is_refused(client: Client) -> None:
    async with FakeEngine() as engine:
        deep = b'{"messages":' + b"[" * 50_000 + b"]" * 50_000 + b"}"
        status, said = await post(client, engine, deep)
        assert (status, "nested too deeply" in said.decode()) == (400, True)


async def test_stop_ends_everything_and_may_come_twice(client: Client) -> None:
    engine = FakeEngine(tokens_per_s=1)
    await engine.start()
    asking = asyncio.create_task(post(client, engine, chat(max_tokens=50)))
    await until(lambda: engine.record.running == 1)
    await engine.stop()
    await engine.stop()
    with pytest.raises(UpstreamBroken):
        await asking


async def test_as_a_process(client: Client, folder: Path) -> None:
    path = str(folder / "s")
    argv = [sys.executable, "-m", "moorage.testing.engine", "--uds", path, "--may-exit", "--fault", "503 times=1"]
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert (await process.stdout.readline()).decode() == f"unix:{path}\n"
        address = f"unix:{path}"
        async with client.call(address, "POST", CHAT, body=chat()) as reply:
            assert reply.status == 503
        fault = {"kind": "exit", "after": 2, "code": 9}
        async with client.call(address, "POST", "/_fault", body=json.dumps([fault]).encode()) as reply:
            assert reply.status == 200
        async with client.call(address, "GET", "/_state") as reply:
            state = json.loads(await reply.read())
        assert state["calls"][0]["status"] == 503
        with pytest.raises(UpstreamBroken):
            async with client.call(address, "POST", CHAT, body=chat(stream=True)) as reply:
                await reply.read()
        assert await process.wait() == 9
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_the_process_ends_on_sigterm_and_on_a_failed_load(folder: Path) -> None:
    argv = [sys.executable, "-m", "moorage.testing.engine", "--port", "0"]
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    assert (await process.stdout.readline()).startswith(b"http://127.0.0.1:")
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0
    process = await asyncio.create_subprocess_exec(
        *argv, "--fail", "cannot load the weights", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    assert (process.returncode, errors) == (1, b"cannot load the weights\n")
