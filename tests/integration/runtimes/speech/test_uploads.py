"""Forms: what is wrong in them, how large they may be, and that nothing of them stays."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("faster_whisper", reason="speech needs its extra: pip install 'moorage[speech]'")

from tests.integration.runtimes.runtime import until
from tests.integration.runtimes.speech.client import BOUNDARY, Speech, form, part, refused, text
from tests.integration.runtimes.speech.recordings import silence, wav

pytestmark = pytest.mark.engine

END = f"--{BOUNDARY}--\r\n".encode()
SHORT = wav(silence(0.1))


def spool(runtime: Speech) -> Path:
    return Path(runtime.settings.socket).parent / "spool"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (END, "'file' is missing"),
        (form(None, [("model", "m")]), "'file' is missing"),
        (part("file", SHORT, "a.wav"), "is cut"),
        (form(SHORT)[:-4], "is cut"),
        (b"no form at all", "malformed"),
        (part("file", SHORT, "a.wav") + form(SHORT), "twice"),
        (part("file", SHORT, "a.wav", b"Content-Transfer-Encoding: base64\r\n") + END, "is sent in 'base64'"),
        (part("prompt", b"\xff\xfe") + form(SHORT), "not UTF-8"),
        (f"--{BOUNDARY}\r\nContent-Disposition: attachment\r\n\r\nx\r\n".encode() + form(SHORT), "no 'Content-Disp"),
        (f"--{BOUNDARY}\r\n\r\nx\r\n".encode() + form(SHORT), "no 'Content-Disp"),
        (f"--{BOUNDARY}\r\n".encode() + b"a: b\r\n" * 5000 + b"\r\n" + END, "two headers"),
        (form(SHORT, [("temperature", "hot")]), "temperature"),
        (form(SHORT, [("language", "tlh")]), "ISO 639-1"),
        (form(SHORT, [("language", "en"), ("language", "en")]), "twice"),
        (form(SHORT, [("stream", "perhaps")]), "stream"),
        (form(SHORT, [("response_format", "xml")]), "'verbose_json'"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_forms_that_are_wrong(speech: Speech, body: bytes, words: str) -> None:
    assert words in refused(speech.upload(body))


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "", "text/plain", "application/x-www-form-urlencoded", "multipart/mixed; boundary=x"],
)
def test_bodies_that_are_no_forms(speech: Speech, content_type: str) -> None:
    refused(speech.upload(form(SHORT), content_type=content_type), code="unsupported_media_type", status=415)


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=" + "b" * 300])
def test_boundaries_that_are_none(speech: Speech, content_type: str) -> None:
    assert "boundary" in refused(speech.upload(form(SHORT), content_type=content_type))


def test_too_many_and_too_large_parts(speech: Speech) -> None:
    many = form(SHORT, [(f"field{at}", "x") for at in range(2000)])
    assert "parts" in refused(speech.upload(many), status=413)
    assert "larger" in refused(speech.upload(form(SHORT, [("prompt", "x" * 2_000_000)])), status=413)


def test_a_form_beyond_the_limit_is_refused_before_it_is_read(speech: Speech) -> None:
    with speech.begun(form(SHORT)[:200], 30_000_000) as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")
    body = form(bytes(20_000_000))
    assert "20000000" in refused(speech.upload(body), "file", "request_too_large", 413)


def test_what_a_file_is_called_and_where_it_stands(speech: Speech) -> None:
    first = part("file", SHORT, "/etc/passwd") + part("model", b"m") + END
    assert text(speech.upload(b"\r\n" + first)) == ""
    assert "leads out of its folder" in refused(speech.upload(part("file", SHORT, "../../etc/passwd") + END))
    assert "no filename" in refused(speech.upload(part("file", SHORT) + END))
    assert text(speech.upload(part("file", SHORT, "Aufnahme \N{SNOWMAN}.wav".encode().decode("latin-1")) + END)) == ""


PIECES = st.one_of(
    st.binary(max_size=30),
    st.sampled_from(
        [b"\r\n", b"--", BOUNDARY.encode(), END, form(SHORT), part("file", SHORT, "a"), part("model", b"m")]
    ),
    st.sampled_from([b"Content-Disposition: form-data; name=", b'"file"', b'; filename="x"', b"\x00", b"\xff" * 20]),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PIECES, max_size=8).map(b"".join))
def test_any_bytes_are_a_form_or_refused(speech: Speech, body: bytes) -> None:
    answer = speech.upload(body)
    assert answer.status in (200, 400, 413), (body, answer.content)


def test_nothing_of_it_stays(speech: Speech) -> None:
    until(lambda: speech.value("running") == 0, 10)
    assert (speech.value("uploading"), speech.value("queued")) == (0, 0)
    assert list(spool(speech).iterdir()) == []
    assert speech.spooled(spool(speech)) == 0
    assert "Traceback" not in speech.log


def test_no_folder_for_uploads(make_speech: Callable[..., Speech]) -> None:
    runtime = make_speech().start().ready()
    spool(runtime).rmdir()
    message = refused(runtime.upload(form(SHORT)), code="no_room", status=503)
    assert "spool" in message
    spool(runtime).mkdir()
    assert text(runtime.upload(form(SHORT))) == ""


@pytest.fixture
def small_disk(short_tmp: Path) -> Iterator[Path]:
    """A filesystem of one megabyte."""
    folder = short_tmp / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "moorage-test", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting a small filesystem takes rights that are not there")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk(make_speech: Callable[..., Speech], small_disk: Path, beckett: bytes) -> None:
    runtime = make_speech(spool_dir=str(small_disk)).start().ready()
    answer = runtime.upload(form(bytes(3_000_000)))
    assert "no room left" in refused(answer, code="no_room", status=503)
    assert answer.headers["retry-after"]
    assert runtime.spooled(small_disk) == 0
    assert text(runtime.upload(form(beckett))).endswith("Fail better.")
