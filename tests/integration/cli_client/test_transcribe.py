import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli_client.answering import Answering
from tests.integration.cli_client.conftest import command

Piped = Callable[..., "subprocess.CompletedProcess[str]"]
TerminalOf = Callable[..., Any]

TEXT = "The ship is moored at the quay."


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / 'sögen "1".wav'
    path.write_bytes(b"RIFF" + os.urandom(700_000))
    return path


@pytest.mark.parametrize("how", [[], ["--no-stream"]])
def test_the_text_on_stdout(answering: Answering, piped: Piped, recording: Path, how: list[str]) -> None:
    options = ["--language", "en", "--prompt", "ships, ⚓", "--temperature", "0.5", *how]
    done = piped("transcribe", "--url", answering.url, str(recording), *options)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{TEXT}\n", "")
    call = answering.seen[-1]
    assert call.path == "/v1/audio/transcriptions"
    shape = [("response_format", "text")] if how else [("response_format", "json"), ("stream", "true")]
    wishes = [("language", "en"), ("prompt", "ships, ⚓"), ("temperature", "0.5")]
    assert call.fields == [("model", "tiny"), *shape, *wishes]
    assert call.recording == ("sögen %221%22.wav", recording.read_bytes())
    assert int(call.headers["content-length"]) == len(call.body)


@pytest.mark.parametrize("shape", ["json", "verbose_json", "srt"])
def test_other_formats_are_the_servers_own(answering: Answering, piped: Piped, recording: Path, shape: str) -> None:
    done = piped("transcribe", "--url", answering.url, str(recording), "--format", shape)
    assert done.returncode == 0
    if shape == "srt":
        assert done.stdout == f"1\n00:00:00,000 --> 00:00:02,000\n{TEXT}\n\n"
    else:
        assert json.loads(done.stdout) == {"text": TEXT, "format": shape}
    assert ("stream", "true") not in answering.seen[-1].fields


def test_timestamps_make_it_verbose(answering: Answering, piped: Piped, recording: Path) -> None:
    done = piped(
        "transcribe", "--url", answering.url, str(recording), "--timestamps", "word", "--timestamps", "segment"
    )
    assert json.loads(done.stdout)["format"] == "verbose_json"
    kinds = [value for name, value in answering.seen[-1].fields if name == "timestamp_granularities[]"]
    assert kinds == ["word", "segment"]


def test_translations(answering: Answering, piped: Piped, recording: Path) -> None:
    assert piped("transcribe", "--url", answering.url, "--translate", str(recording)).stdout == f"{TEXT}\n"
    assert answering.seen[-1].path == "/v1/audio/translations"


def test_several_recordings(answering: Answering, piped: Piped, recording: Path, tmp_path: Path) -> None:
    other = tmp_path / "b.wav"
    other.write_bytes(b"RIFF")
    done = piped("transcribe", "--url", answering.url, str(recording), str(other))
    assert done.stdout == f"==> {recording.name} <==\n{TEXT}\n==> b.wav <==\n{TEXT}\n"
    assert [call.recording[1] for call in answering.seen] == [recording.read_bytes(), b"RIFF"]


def test_a_recording_piped_in(answering: Answering, environment: dict[str, str], recording: Path) -> None:
    argv = command("transcribe", "--url", answering.url, "-")
    content = recording.read_bytes()
    done = subprocess.run(argv, input=content, capture_output=True, env=environment, timeout=60, check=True)
    assert done.stdout.decode() == f"{TEXT}\n"
    with recording.open("rb") as file:
        done = subprocess.run(argv, stdin=file, capture_output=True, env=environment, timeout=60, check=True)
    assert done.stdout.decode() == f"{TEXT}\n"
    assert [call.recording for call in answering.seen] == [("stdin", content)] * 2


def test_a_server_that_does_not_stream(answering: Answering, piped: Piped, recording: Path) -> None:
    answering.behave(fault="plain")
    assert piped("transcribe", "--url", answering.url, str(recording)).stdout == f"{TEXT}\n"


def test_text_is_there_as_soon_as_it_is_recognised(
    answering: Answering, environment: dict[str, str], recording: Path
) -> None:
    answering.behave(fault="drips")
    argv = command("transcribe", "--url", answering.url, str(recording))
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert os.read(process.stdout.fileno(), 100) == b"The "
        assert process.poll() is None
        assert process.stdout.read() == TEXT[4:].encode() + b"\n"
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("fault", "out", "words"),
    [
        ("cut", "The ship is \n", "the stream ended before the recording was transcribed"),
        ("breaks", "The ship is \n", "the server broke off: broken on demand"),
        ("dies", "", "broke off before it answered"),
        ("status 400", "", "moorage: not now\n"),
        ("status 503", "", "moorage: not now\n"),
        ("early 401", "", "not with me; give a key by --api-key or MOORAGE_API_KEY"),
        ("early 413", "", "moorage: not with me\n"),
    ],
)
def test_errors(answering: Answering, piped: Piped, recording: Path, fault: str, out: str, words: str) -> None:
    answering.behave(fault=fault)
    done = piped("transcribe", "--url", answering.url, str(recording))
    assert (done.returncode, done.stdout) == (1, out)
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_without_speech(answering: Answering, piped: Piped, recording: Path) -> None:
    answering.behave(models=(("a", "generate"),))
    done = piped("transcribe", "--url", answering.url, str(recording))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"moorage: {answering.url} has no model to transcribe; it has a (generate); "
        "`moorage doctor` tells how a server gets speech\n"
    )


def test_no_recording(answering: Answering, piped: Piped, tmp_path: Path) -> None:
    empty = tmp_path / "empty.wav"
    empty.touch()
    done = piped("transcribe", "--url", answering.url, str(empty))
    assert (done.returncode, done.stderr) == (1, f"moorage: {empty} is empty; name a recording\n")
    done = piped("transcribe", "--url", answering.url, "-")
    assert (done.returncode, done.stderr) == (1, "moorage: stdin is empty; name a recording\n")
    assert "does not exist" in piped("transcribe", "--url", answering.url, str(tmp_path / "no.wav")).stderr
    assert "is a directory" in piped("transcribe", "--url", answering.url, str(tmp_path)).stderr
    assert piped("transcribe").returncode == 2
    assert not answering.seen


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--timestamps", "word", "--format", "srt"], "--timestamps are in --format verbose_json, not in srt"),
        (["--stream", "--format", "json"], "--stream goes with --format text; json comes as a whole"),
        (["--format", "vtt", "-"], "vtt is of one recording: name one at a time"),
        (["--format", "mp3"], "'mp3' is not one of"),
    ],
)
def test_wishes_that_do_not_go_together(piped: Piped, recording: Path, options: list[str], words: str) -> None:
    done = piped("transcribe", str(recording), *options)
    assert done.returncode == 2
    assert words in done.stderr


def test_a_file_is_there_only_once_it_is_whole(
    answering: Answering, piped: Piped, recording: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    output = folder / "text.txt"
    argv = ["transcribe", "--url", answering.url, str(recording), "-o", str(output)]
    answering.behave(fault="cut")
    assert piped(*argv).returncode == 1
    assert not list(folder.iterdir())
    answering.behave()
    done = piped(*argv)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert output.read_text() == f"{TEXT}\n"
    assert list(folder.iterdir()) == [output]
    assert piped(*argv[:-1], "/dev/null").returncode == 0
    done = piped(*argv[:-1], str(tmp_path / "nowhere" / "text.txt"))
    assert done.returncode == 1
    assert "cannot write" in done.stderr


def test_a_recording_that_shrinks_while_it_is_sent(
    answering: Answering, environment: dict[str, str], tmp_path: Path
) -> None:
    answering.behave(fault="waits")
    path = tmp_path / "long.wav"
    with path.open("wb") as file:
        file.truncate(100_000_000)
    argv = command("transcribe", "--url", answering.url, str(path))
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert answering.arrived.wait(20)
        os.truncate(path, 1000)
        answering.may_read.set()
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert stderr == b"moorage: long.wav became shorter while it was sent\n"


def test_ctrl_c_ends_it_at_once(answering: Answering, terminal: TerminalOf, recording: Path) -> None:
    answering.behave(fault="drips")
    screen = terminal("transcribe", "--url", answering.url, str(recording))
    screen.expect("The ship")
    screen.interrupt()
    assert screen.ends(5) == 130


def test_the_bar_leaves_the_terminal_to_the_text(answering: Answering, terminal: TerminalOf, recording: Path) -> None:
    screen = terminal("transcribe", "--url", answering.url, str(recording))
    text = screen.expect(r"quay\.\r\n")
    assert TEXT in text.replace("\r", "")
    assert screen.ends() == 0


def test_at_a_terminal_stdin_is_not_waited_for(answering: Answering, terminal: TerminalOf) -> None:
    screen = terminal("transcribe", "--url", answering.url, "-")
    screen.expect("stdin is a terminal; pipe a recording in, or name a file")
    assert screen.ends() == 2
