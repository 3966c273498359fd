"""Uploads that are malformed, too large, too slow, or meet a full disk: raw sockets on a real gateway."""

import asyncio
import io
import json
import resource
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moorage.gateway.protocol import BODY_BYTES_PER_S
from moorage.testing import FakeEngine
from moorage.wire.multipart import FIELD_BYTES_MAX, PARTS_MAX
from tests.integration.gateway.harness import Harness, key_row, target
from tests.integration.gateway.recordings import FORM_TYPE, SPEECH, TRANSCRIPTIONS, form, part, speech, spooled
from tests.integration.gateway.test_bad_http import said
from tests.integration.gateway.test_faults import until

MB = 1024 * 1024
HEAD = f"POST {TRANSCRIPTIONS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM_TYPE['Content-Type']}\r\n".encode()
FILE = part("file", b"RIFF", "a.wav")
END = b"--moorage-test--\r\n"
MODEL = {"model": b"whisper-1"}

BAD: dict[str, tuple[bytes, Mapping[str, str], int, str]] = {
    "empty": (b"", FORM_TYPE, 400, "is empty"),
    "no form": (b"hello", FORM_TYPE, 400, "malformed"),
    "cut": (form(MODEL)[:-10], FORM_TYPE, 400, "cut"),
    "no file": (part("model", b"whisper-1") + END, FORM_TYPE, 400, "'file' is missing"),
    "two files": (FILE + FILE + END, FORM_TYPE, 400, "'file' comes twice"),
    "two models": (part("model", b"a") + form(MODEL), FORM_TYPE, 400, "'model' comes twice"),
    "an empty model": (form({"model": b""}), FORM_TYPE, 400, "'model' is empty"),
    "another model": (form({"model": b"other"}), FORM_TYPE, 404, "there is no model 'other' here"),
    "a model that is no UTF-8": (form({"model": b"\xff\xfe"}), FORM_TYPE, 400, "'model' is not UTF-8"),
    "an odd stream": (form({**MODEL, "stream": b"perhaps"}), FORM_TYPE, 400, "'stream' is 'perhaps'"),
    "NUL in a filename": (part("file", b"x", "a\0.wav") + END, FORM_TYPE, 400, "control character"),
    "a filename that climbs": (part("file", b"x", "../../etc/passwd") + END, FORM_TYPE, 400, "out of its folder"),
    "nested": (
        part("file", b"x", "a", b"Content-Type: multipart/mixed; boundary=q\r\n") + END, FORM_TYPE, 400, "of its own",
    ),
    "a header bomb": (part("file", b"x", "a", b"X-A: %b\r\n" % (b"a" * 100_000)) + END, FORM_TYPE, 400, "malformed"),
    "a part bomb": (part("a", b"b") * (PARTS_MAX + 1) + FILE + END, FORM_TYPE, 413, "more than 1200 parts"),
    "a huge field": (form({"prompt": b"x" * (FIELD_BYTES_MAX + 1)}), FORM_TYPE, 413, "'prompt' is larger"),
    "JSON": (b'{"model":"whisper-1"}', {"Content-Type": "application/json"}, 415, "multipart/form-data"),
    "no content-type": (form(MODEL), {"Content-Type": ""}, 415, "multipart/form-data"),
    "no boundary": (form(MODEL), {"Content-Type": "multipart/form-data"}, 400, "no usable boundary"),
    "UTF-16": (form(MODEL), {"Content-Type": FORM_TYPE["Content-Type"] + "; charset=utf-16"}, 415, "in UTF-8"),
    "gzip": (form(MODEL), {**FORM_TYPE, "Content-Encoding": "gzip"}, 400, "compressed"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "headers", "status", "words"), BAD.values(), ids=BAD)
async def test_what_is_no_good_form_is_told_so(
    short_tmp: Path, body: bytes, headers: Mapping[str, str], status: int, words: str
) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine, model=SPEECH.id), models=[SPEECH])
        async with gateway.http.post(TRANSCRIPTIONS, data=io.BytesIO(body), headers=headers) as reply:
            error = (await reply.json())["error"]
        assert (reply.status, error["type"]) == (status, "invalid_request_error")
        assert words in error["message"]
        assert engine.record.connections == 0
        assert spooled(gateway.spool) == 0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.binary(max_size=120), at=st.integers(0, 400), cut=st.integers(0, 60), chunk=st.integers(1, 300))
def test_noise_in_a_form_never_brings_a_gateway_down(
    short_tmp: Path, noise: bytes, at: int, cut: int, chunk: int
) -> None:
    """The answer is the engine's or our refusal; a form that passes has the model's name in its place."""
    whole = form({**MODEL, "prompt": b"[[say: ahoy]]"}, b"RIFF" * 10)
    body = whole[:at] + noise + whole[at + cut :]
    pieces = [body[begin : begin + chunk] for begin in range(0, len(body), chunk)]
    sent = HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    sent += b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"

    async def run() -> tuple[bytes, FakeEngine]:
        async with FakeEngine(model="served") as engine, Harness(short_tmp) as gateway:
            await gateway.publish(target(engine, model=SPEECH.id), models=[SPEECH])
            answer = await said(gateway.port, sent)
            assert gateway.gateway.in_flight == 0
            return answer, engine

    answer, engine = asyncio.run(run())
    status = int(answer.split()[1])
    assert status in (200, 400, 404, 413, 415), answer
    if status == 200:
        assert engine.calls[-1].form.fields["model"] == "served"


@pytest.mark.parametrize("chunked", [True, False])
async def test_an_upload_beyond_the_limit_is_refused_by_its_own_setting(short_tmp: Path, chunked: bool) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(
            target(engine, model=SPEECH.id), models=[SPEECH], max_upload_bytes=3 * MB, max_request_bytes=1000
        )
        for size, status in ((2 * MB, 200), (4 * MB, 413)):
            body = form(MODEL, bytes(size))

            async def pieces(body: bytes = body) -> Any:
                for begin in range(0, len(body), 65536):
                    yield body[begin : begin + 65536]

            data = pieces() if chunked else io.BytesIO(body)
            async with gateway.http.post(TRANSCRIPTIONS, data=data, headers=FORM_TYPE) as reply:
                assert reply.status == status
                text = await reply.text()
                assert status == 200 or "server.max_upload_size" in text
        assert spooled(gateway.spool) == 0


async def test_keys_are_asked_for_before_a_byte_is_read(short_tmp: Path) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine, model=SPEECH.id), models=[SPEECH], keys=[key_row("mk-good")])
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(HEAD + b"Content-Length: 100000000\r\nExpect: 100-continue\r\n\r\n")
        async with asyncio.timeout(2):
            answer = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        assert answer.startswith(b"HTTP/1.1 401")


async def test_a_full_disk_is_503_and_leaves_nothing(short_tmp: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine, model=SPEECH.id), models=[SPEECH])
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MB, hard))
        try:
            async with gateway.http.post(TRANSCRIPTIONS, data=speech(bytes(8 * MB), model="whisper-1")) as reply:
                error = (await reply.json())["error"]
                assert (reply.status, reply.headers["retry-after"], error["code"]) == (503, "10", "no_room")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert str(short_tmp) not in error["message"]
        assert spooled(gateway.spool) == 0
        async with gateway.http.post(TRANSCRIPTIONS, data=speech(bytes(8 * MB), model="whisper-1")) as reply:
            assert reply.status == 200


async def test_a_spool_that_was_removed_is_503_for_large_forms_alone(short_tmp: Path) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine, model=SPEECH.id), models=[SPEECH])
        shutil.rmtree(gateway.spool)
        for size, status in ((1000, 200), (2 * MB, 503)):
            async with gateway.http.post(TRANSCRIPTIONS, data=speech(bytes(size), model="whisper-1")) as reply:
                assert reply.status == status


@pytest.mark.parametrize("sent", [100, 3 * MB])
async def test_a_client_that_leaves_while_it_uploads_frees_everything(short_tmp: Path, sent: int) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine, model=SPEECH.id), models=[SPEECH])
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(HEAD + b"Content-Length: 10000000\r\n\r\n" + form(MODEL, bytes(sent))[:-100])
        await writer.drain()
        await until(lambda: gateway.gateway.in_flight == 1 and spooled(gateway.spool) == (sent > MB))
        writer.close()
        await until(lambda: gateway.gateway.in_flight == 0 and spooled(gateway.spool) == 0, 1.0)
        (line,) = gateway.lines()
        assert (line["phase"], line["status"], line["surface"]) == ("reading", 499, "transcriptions")


async def send_slowly(writer: asyncio.StreamWriter, body: bytes, bytes_per_s: float, for_s: float) -> None:
    began, at = time.monotonic(), 0
    while at < len(body) and time.monotonic() - began < for_s:
        due = int((time.monotonic() - began) * bytes_per_s) + 1
        if due > at:
            writer.write(body[at:due])
            await writer.drain()
            at = due
        await asyncio.sleep(0.02)


async def test_a_steady_upload_may_take_longer_than_the_body_timeout(short_tmp: Path) -> None:
    async with FakeEngine() as engine, Harness(short_tmp, body_timeout_s=0.5) as gateway:
        await gateway.publish(target(engine, model=SPEECH.id), models=[SPEECH])
        body = form(MODEL, bytes(5 * BODY_BYTES_PER_S))
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(body))
        began = time.monotonic()
        await send_slowly(writer, body, 2.5 * BODY_BYTES_PER_S, 10.0)
        async with asyncio.timeout(3):
            answer = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        assert answer.startswith(b"HTTP/1.1 200")
        assert time.monotonic() - began > 1.5


@pytest.mark.parametrize(
    ("rate", "words"),
    [(0.0, b"nothing more of the body arrived for 0.5 s"), (0.5, b"the time it takes at 16 KiB/s")],
    ids=["stalled", "dripping"],
)
@pytest.mark.parametrize("before", [200, BODY_BYTES_PER_S])
async def test_an_upload_that_stalls_or_drips_is_408(short_tmp: Path, rate: float, words: bytes, before: int) -> None:
    """Neither what came quickly before nor a byte now and then buys more time than it takes."""
    async with FakeEngine() as engine, Harness(short_tmp, body_timeout_s=0.5) as gateway:
        await gateway.publish(target(engine, model=SPEECH.id), models=[SPEECH])
        body = form(MODEL, bytes(40 * BODY_BYTES_PER_S))
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body[:before])
        began = time.monotonic()
        sending = asyncio.create_task(send_slowly(writer, body[before:], rate * BODY_BYTES_PER_S, 8.0 if rate else 0.0))
        async with asyncio.timeout(10):
            answer = await reader.read()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.close()
        assert answer.startswith(b"HTTP/1.1 408")
        assert words in answer
        assert b"server.body_timeout" in answer
        assert 0.4 < time.monotonic() - began < 6.0
        await until(lambda: gateway.gateway.in_flight == 0 and spooled(gateway.spool) == 0, 1.0)


async def test_a_refused_upload_is_not_read_for_ever(short_tmp: Path) -> None:
    """A client that was answered and goes on sending, quickly, is dropped after the body timeout."""
    async with Harness(short_tmp, body_timeout_s=0.5) as gateway:
        await gateway.publish(models=[SPEECH])
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        async with asyncio.timeout(3):
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 400")
            with pytest.raises(ConnectionError):
                while True:
                    writer.write(b"1000\r\n" + bytes(4096) + b"\r\n")
                    await writer.drain()
                    await asyncio.sleep(0.01)
        writer.close()


async def test_many_uploads_at_once_keep_to_themselves(short_tmp: Path) -> None:
    async with FakeEngine(kept_bytes=4 * MB) as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine, model=SPEECH.id), models=[SPEECH])

        async def one(number: int) -> str:
            sent = speech(bytes([number]) * (2 * MB), model="whisper-1", prompt=f"[[say: recording {number}]]")
            async with gateway.http.post(TRANSCRIPTIONS, data=sent) as reply:
                return json.loads(await reply.text())["text"]

        assert await asyncio.gather(*map(one, range(12))) == [f"recording {number}" for number in range(12)]
        files = [call.form.file for call in engine.calls]
        assert sorted(file.body[0] for file in files if file and set(file.body) == {file.body[0]}) == [*range(12)]
        assert spooled(gateway.spool) == 0
