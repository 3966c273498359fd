"""A client that leaves stops the work, wherever it is."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("faster_whisper", reason="speech needs its extra: pip install 'moorage[speech]'")

from tests.integration.runtimes.runtime import until
from tests.integration.runtimes.speech.client import STOP_S, TRANSCRIBE, Speech, form, text
from tests.integration.runtimes.speech.recordings import samples_of, silence, wav

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def long(beckett: bytes) -> bytes:
    """A form with eight minutes of speech."""
    return form(wav(np.concatenate([samples_of(beckett), silence(3)] * 38)))


@pytest.fixture
def idle(speech: Speech) -> Iterator[Speech]:
    until(lambda: speech.value("running") == 0, 30)
    yield speech
    until(lambda: speech.value("running") == 0, 30)
    assert speech.spooled(Path(speech.settings.socket).parent / "spool") == 0


def streamed(body: bytes, stream: bool) -> bytes:
    return form(None, [("stream", "true")])[: -len(b"--moorage-test--\r\n")] + body if stream else body


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_while_it_is_heard(idle: Speech, long: bytes, stream: bool) -> None:
    steps, cancelled = idle.value("steps_total"), idle.value("calls_cancelled_total")
    connection = idle.send(TRANSCRIBE, streamed(long, stream))
    until(lambda: idle.value("steps_total") > steps + 3, 30)
    connection.close()
    until(lambda: idle.value("running") == 0, STOP_S, "it still listens for a client that left")
    assert idle.value("calls_cancelled_total") == cancelled + 1
    done = idle.value("steps_total")
    assert done < steps + 40, "it was heard to its end"


def test_progress_moves_with_each_window(idle: Speech, long: bytes) -> None:
    connection = idle.send(TRANSCRIBE, long)
    seen: set[float] = set()
    until(lambda: len(seen) > 5 or bool(seen.add(idle.value("steps_total"))), 60)
    assert idle.value("audio_seconds_total") > 0
    connection.close()


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_in_the_queue(idle: Speech, long: bytes, beckett: bytes, stream: bool) -> None:
    running = [idle.send(TRANSCRIBE, long) for _ in range(2)]
    until(lambda: idle.value("running") == 2, 30)
    started = idle.value("calls_total")
    queued = [idle.send(TRANSCRIBE, streamed(long, stream)) for _ in range(3)]
    until(lambda: idle.value("queued") == 3, 30)
    for connection in queued:
        connection.close()
    until(lambda: idle.value("queued") == 0, STOP_S)
    for connection in running:
        connection.close()
    until(lambda: idle.value("running") == 0, STOP_S)
    assert idle.value("calls_total") == started, "a call nobody waited for was started"
    assert "Fail better" in text(idle.transcribe(beckett))


def test_while_it_uploads(idle: Speech, long: bytes) -> None:
    folder = Path(idle.settings.socket).parent / "spool"
    connection = idle.begun(long[: len(long) // 2], len(long))
    until(lambda: idle.value("uploading") == 1 and idle.spooled(folder) == 1, 20)
    connection.close()
    until(lambda: idle.value("uploading") == 0 and idle.spooled(folder) == 0, STOP_S)


def test_more_at_once_than_there_is_room_for(idle: Speech, beckett: bytes) -> None:
    connections = [idle.send(TRANSCRIBE, form(beckett)) for _ in range(6)]
    answers = [connection.getresponse() for connection in connections]
    assert [answer.status for answer in answers] == [200] * 6
    for connection in connections:
        connection.close()


def test_kill_leaves_nothing(make_speech: Callable[..., Speech], long: bytes) -> None:
    runtime = make_speech().start().ready()
    folder = Path(runtime.settings.socket).parent / "spool"
    connection = runtime.send(TRANSCRIBE, long)
    until(lambda: runtime.value("running") == 1, 20)
    assert runtime.process is not None
    runtime.process.kill()
    runtime.wait()
    assert list(folder.iterdir()) == []
    connection.close()


def test_sigterm_lets_a_recording_finish_then_does_not_wait_for_ever(
    make_speech: Callable[..., Speech], long: bytes, beckett: bytes
) -> None:
    runtime = make_speech(grace_s=20.0).start().ready()
    with closing(runtime.send(TRANSCRIBE, form(beckett))) as connection:
        until(lambda: runtime.value("running") == 1, 20)
        runtime.terminate()
        assert connection.getresponse().status == 200
    assert runtime.wait() == 0
    impatient = make_speech(grace_s=0.2).start().ready()
    with closing(impatient.send(TRANSCRIBE, long)):
        until(lambda: impatient.value("running") == 1, 20)
        impatient.terminate()
        assert impatient.wait(10) == 0
    assert "Traceback" not in impatient.log
