"""Recordings through a real gateway: forms that pass, replies of every format, streams, faults, clients that leave."""

import asyncio
import io
import json
import os
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from openai import AsyncOpenAI

from moorage.testing import FakeEngine
from tests.contract.openai_schema import validate
from tests.integration.gateway.harness import Harness, target
from tests.integration.gateway.recordings import FORM_TYPE, SPEECH, TRANSCRIPTIONS, form, speech, spooled
from tests.integration.gateway.test_faults import until

MB = 1024 * 1024
LARGE = 5 * MB + 123


def speaker(engine: FakeEngine, name: str = "t0", **changes: Any) -> Any:
    return target(engine, name, model=SPEECH.id, **changes)


@pytest.mark.parametrize("size", [0, 10, MB, LARGE])
@pytest.mark.parametrize("file_first", [True, False])
@pytest.mark.parametrize("echoes", [True, False])
async def test_a_form_passes_byte_for_byte_but_for_its_models_name(
    short_tmp: Path, size: int, file_first: bool, echoes: bool
) -> None:
    content = os.urandom(size)
    fields = {"model": b"whisper-1", "prompt": b"[[say: ahoy]]\r\n--moor", "timestamp_granularities[]": b"word"}
    sent = form(fields, content, file_first=file_first)
    async with FakeEngine(model="a/served-name", kept_bytes=8 * MB) as engine, Harness(short_tmp) as gateway:
        await gateway.publish(speaker(engine, echoes_model=echoes), models=[SPEECH])
        async with gateway.http.post(TRANSCRIPTIONS, data=io.BytesIO(sent), headers=FORM_TYPE) as reply:
            assert reply.status == 200, await reply.text()
            assert (await reply.json())["text"] == "ahoy"
        (call,) = engine.calls
        assert call.path == TRANSCRIPTIONS
        assert call.header("content-type") == FORM_TYPE["Content-Type"]
        assert call.header("content-length") == str(len(call.body))
        name = b"whisper-1" if echoes else b"a/served-name"
        assert call.body == sent.replace(b"\r\n\r\nwhisper-1\r\n", b"\r\n\r\n" + name + b"\r\n")
        assert spooled(gateway.spool) == 0


async def test_a_form_without_a_model_means_the_one_that_transcribes(short_tmp: Path) -> None:
    async with FakeEngine(model="served") as engine, Harness(short_tmp) as gateway:
        await gateway.publish(speaker(engine), models=[SPEECH])
        for sent in (form({}), b"\r\n" + form({})):
            async with gateway.http.post(TRANSCRIPTIONS, data=sent, headers=FORM_TYPE) as reply:
                assert reply.status == 200, await reply.text()
            assert engine.calls[-1].form.fields["model"] == "served"
            assert engine.calls[-1].form.file


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("path", [TRANSCRIPTIONS, "/v1/audio/translations"])
async def test_both_routes_and_framings(short_tmp: Path, path: str, chunked: bool) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(speaker(engine), models=[SPEECH])
        sent = form({"model": b"whisper-1"}, bytes(LARGE))

        async def pieces() -> Any:
            for begin in range(0, len(sent), 100_000):
                yield sent[begin : begin + 100_000]

        async with gateway.http.post(path, data=pieces() if chunked else io.BytesIO(sent), headers=FORM_TYPE) as reply:
            validate("CreateTranscriptionResponseJson", await reply.json())
        (line,) = gateway.lines()
        assert line["surface"] == path.rpartition("/")[2]
        assert (line["model"], line["prompt_tokens"], line["completion_tokens"]) == ("org/whisper", 0, 0)


@pytest.mark.parametrize(
    ("kind", "content_type", "words"),
    [
        ("json", "application/json", '{"text":"fair winds"'),
        ("verbose_json", "application/json", '"words":['),
        ("text", "text/plain; charset=utf-8", "fair winds\n"),
        ("srt", "application/x-subrip; charset=utf-8", "00:00:00,000 --> 00:00:00,500\nfair\n"),
        ("vtt", "text/vtt; charset=utf-8", "WEBVTT\n"),
    ],
)
async def test_every_format_comes_as_it_is(short_tmp: Path, kind: str, content_type: str, words: str) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(speaker(engine), models=[SPEECH])
        sent = speech(prompt="[[say: fair winds]]", response_format=kind, model="whisper-1")
        async with gateway.http.post(TRANSCRIPTIONS, data=sent) as reply:
            assert reply.headers["content-type"] == content_type
            assert words in await reply.text()


async def test_text_that_a_browser_would_run_is_no_reply(short_tmp: Path) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(speaker(engine), models=[SPEECH])
        sent = speech(prompt="[[fault: type]]", response_format="text", model="whisper-1")
        async with gateway.http.post(TRANSCRIPTIONS, data=sent) as reply:
            assert (reply.status, (await reply.json())["error"]["code"]) == (502, "upstream_broken")


@pytest.mark.parametrize("echoes", [True, False])
async def test_a_stream_of_a_transcript(short_tmp: Path, echoes: bool) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(speaker(engine, echoes_model=echoes), models=[SPEECH])
        sent = speech(prompt='[[say: an "error" and "usage" of déjà vu]]', stream="true", model="whisper-1")
        async with gateway.http.post(TRANSCRIPTIONS, data=sent) as reply:
            assert reply.headers["content-type"].startswith("text/event-stream")
            text = await reply.text()
        events = [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: {")]
        for event in events[:-1]:
            validate("TranscriptTextDeltaEvent", event)
        assert "".join(event["delta"] for event in events[:-1]) == 'an "error" and "usage" of déjà vu'
        assert events[-1]["type"] == "transcript.text.done"
        assert events[-1]["usage"]["type"] == "duration"
        assert text.endswith("data: [DONE]\n\n")
        assert gateway.lines()[0]["completion_tokens"] == 0


async def test_the_openai_client_transcribes(short_tmp: Path) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(speaker(engine), models=[SPEECH])
        async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="EMPTY") as client:
            said: dict[str, Any] = {"model": "whisper-1", "prompt": "[[say: fair winds]]"}
            file = ("spræch 世界.wav", os.urandom(2 * MB), "audio/wav")
            create: Any = client.audio.transcriptions.create
            assert (await create(file=file, **said)).text == "fair winds"
            stream = await create(file=file, stream=True, **said)
            assert [event.type async for event in stream] == ["transcript.text.delta"] * 2 + ["transcript.text.done"]
            plain = await create(file=file, response_format="text", **said)
            assert plain == "fair winds\n"


@pytest.mark.parametrize("fault", ["reset after=2", "truncate after=2", "undone", "error after=2", "stall after=2"])
async def test_a_broken_stream_ends_in_an_error_event(short_tmp: Path, fault: str) -> None:
    async with FakeEngine(tokens_per_s=100.0) as engine, Harness(short_tmp) as gateway:
        await gateway.publish(speaker(engine), models=[SPEECH], token_timeout_s=0.3)
        sent = speech(prompt=f"[[say: one two three four]] [[fault: {fault}]]", stream="true", model="whisper-1")
        async with gateway.http.post(TRANSCRIPTIONS, data=sent) as reply:
            text = await reply.text()
        assert reply.status == 200
        assert text.strip().split("\n\n")[-1].startswith('data: {"error"')
        assert "[DONE]" not in text
        assert spooled(gateway.spool) == 0


@pytest.mark.parametrize("stream", ["true", "false"])
@pytest.mark.parametrize("fault", ["reset", "truncate", "garbage", "503", "500", "refuse"])
async def test_a_failure_before_the_first_byte_is_made_good_elsewhere(short_tmp: Path, fault: str, stream: str) -> None:
    """The whole recording is sent again."""
    content = os.urandom(LARGE)
    async with FakeEngine(kept_bytes=8 * MB) as bad, FakeEngine(kept_bytes=8 * MB) as good:
        async with Harness(short_tmp) as gateway:
            bad.fault("status", code=int(fault)) if fault.isdigit() else bad.fault(fault)
            await gateway.publish(speaker(bad, "a"), speaker(good, "b"), models=[SPEECH])
            sent = speech(content, prompt="[[say: ahoy]]", stream=stream, model="whisper-1")
            async with gateway.http.post(TRANSCRIPTIONS, data=sent) as reply:
                assert reply.status == 200, await reply.text()
                assert "ahoy" in await reply.text()
            file = good.calls[0].form.file
            assert file is not None
            assert file.body == content
            assert len(bad.calls) == 1
            assert spooled(gateway.spool) == 0


async def test_an_engine_that_refuses_the_format_is_heard(short_tmp: Path) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(speaker(engine), models=[SPEECH])
        async with gateway.http.post(TRANSCRIPTIONS, data=speech(response_format="opera", model="whisper-1")) as reply:
            assert reply.status == 400
            assert "'opera'" in (await reply.json())["error"]["message"]


async def test_an_engine_that_answers_before_it_has_read_is_heard(short_tmp: Path) -> None:
    """And the connection on which the rest was to come is not used again."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b'{"error":{"message":"too long a recording"}}'
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(refuse, str(short_tmp / "e.sock"))
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        early = speaker(engine, address=f"unix:{short_tmp}/e.sock")
        await gateway.publish(early, models=[SPEECH])
        for _ in range(3):
            async with gateway.http.post(TRANSCRIPTIONS, data=speech(bytes(8 * MB), model="whisper-1")) as reply:
                assert (reply.status, (await reply.json())["error"]["message"]) == (413, "too long a recording")
        await until(lambda: spooled(gateway.spool) == 0)
    server.close()


@pytest.mark.parametrize("stream", ["true", "false"])
@pytest.mark.parametrize("phase", ["queued", "prefill", "decode"])
async def test_a_client_that_leaves_frees_everything(short_tmp: Path, stream: str, phase: str) -> None:
    slow: dict[str, Any] = {"prefill": {"prompt_delay_s": 30.0}, "decode": {"tokens_per_s": 5.0}}.get(phase, {})
    async with FakeEngine(**slow) as engine, Harness(short_tmp) as gateway:
        ready = speaker(engine) if phase != "queued" else speaker(engine, state="starting")
        await gateway.publish(ready, models=[SPEECH])
        async with aiohttp.ClientSession(gateway.url) as client:
            sent = speech(bytes(3 * MB), stream=stream, model="whisper-1")
            call = asyncio.create_task(client.post(TRANSCRIPTIONS, data=sent).__aenter__())
            await until(lambda: spooled(gateway.spool) == 1)
            if phase == "queued":
                await asyncio.sleep(0.2)
            else:
                await until(lambda: engine.record.running == 1)
                await asyncio.sleep(0.3)
            call.cancel()
            for reply in await asyncio.gather(call, return_exceptions=True):
                if isinstance(reply, aiohttp.ClientResponse):
                    reply.close()
        left = time.monotonic()
        await until(lambda: gateway.gateway.in_flight == 0 and engine.record.running == 0, 1.0)
        await until(lambda: spooled(gateway.spool) == 0, 1.0)
        assert time.monotonic() - left < 1.0
        (line,) = gateway.lines()
        assert (line["outcome"], line["status"]) == ("cancelled", 499)
        assert line["phase"] == (phase if stream == "true" or phase != "decode" else "prefill")


async def test_a_client_that_leaves_while_an_engine_takes_its_recording_frees_everything(short_tmp: Path) -> None:
    """Also where the engine hangs: the upload waits in the gateway's hand, and is dropped with the connection."""
    left = asyncio.Event()
    gone = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        await left.wait()
        try:
            while await reader.read(65536):
                pass
        except ConnectionError:
            pass
        gone.set()
        writer.close()

    server = await asyncio.start_unix_server(hang, str(short_tmp / "e.sock"), limit=1000)
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(speaker(engine, address=f"unix:{short_tmp}/e.sock"), models=[SPEECH])
        async with aiohttp.ClientSession(gateway.url) as client:
            call = asyncio.create_task(
                client.post(TRANSCRIPTIONS, data=speech(bytes(20 * MB), model="whisper-1")).__aenter__()
            )
            await until(lambda: spooled(gateway.spool) == 1)
            await asyncio.sleep(0.5)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        await until(lambda: gateway.gateway.in_flight == 0, 1.0)
        await until(lambda: spooled(gateway.spool) == 0, 1.0)
        left.set()
        await asyncio.wait_for(gone.wait(), 2.0)
    server.close()


async def test_a_gateway_that_stops_lets_go_of_uploads(short_tmp: Path) -> None:
    async with FakeEngine(prompt_delay_s=30.0) as engine:
        async with Harness(short_tmp, drain_timeout_s=0.3) as gateway:
            await gateway.publish(speaker(engine), models=[SPEECH])
            call = asyncio.create_task(
                gateway.http.post(TRANSCRIPTIONS, data=speech(bytes(3 * MB), model="whisper-1")).__aenter__()
            )
            await until(lambda: engine.record.running == 1)
            await gateway.gateway.stop()
            await asyncio.gather(call, return_exceptions=True)
            await until(lambda: spooled(gateway.spool) == 0, 1.0)
