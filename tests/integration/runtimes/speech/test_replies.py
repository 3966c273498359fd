"""What is heard in real speech, in every shape."""

import re

import numpy as np
import pytest

pytest.importorskip("faster_whisper", reason="speech needs its extra: pip install 'moorage[speech]'")

from tests.contract.openai_schema import validate
from tests.integration.runtimes.speech.client import BECKETT, Speech, events, refused, text
from tests.integration.runtimes.speech.recordings import Samples, samples_of, silence, wav

pytestmark = pytest.mark.engine

REPEATS = 22


@pytest.fixture(scope="module")
def long(beckett: bytes) -> Samples:
    """Five minutes: the same again and again, with pauses."""
    return np.concatenate([samples_of(beckett), silence(3.7)] * REPEATS)


def test_word_for_word(speech: Speech, beckett: bytes) -> None:
    answer = speech.transcribe(beckett, model="whisper-1")
    assert text(answer) == BECKETT
    assert answer.body["usage"] == {"type": "duration", "seconds": 9.963}


def test_as_text(speech: Speech, beckett: bytes) -> None:
    answer = speech.transcribe(beckett, response_format="text")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.content.decode() == BECKETT + "\n"


def test_as_subtitles(speech: Speech, beckett: bytes) -> None:
    srt = speech.transcribe(beckett, response_format="srt").content.decode()
    assert re.fullmatch(rf"1\n00:00:00,\d00 --> 00:00:0\d,\d+\n{BECKETT}\n", srt)
    vtt = speech.transcribe(beckett, response_format="vtt")
    assert vtt.headers["content-type"] == "text/vtt; charset=utf-8"
    assert re.fullmatch(rf"WEBVTT\n\n00:00:00.\d00 --> 00:00:0\d.\d+\n{BECKETT}\n", vtt.content.decode())


def test_in_full(speech: Speech, beckett: bytes) -> None:
    body = speech.transcribe(beckett, response_format="verbose_json").body
    validate("CreateTranscriptionResponseVerboseJson", body)
    assert (body["task"], body["language"], body["duration"], body["text"]) == (
        "transcribe", "english", 9.963, BECKETT,
    )  # fmt: skip
    assert "words" not in body
    assert "".join(segment["text"] for segment in body["segments"]).strip() == BECKETT


@pytest.mark.parametrize("granularities", [("word",), ("word", "segment")], ids=str)
def test_words_have_their_times(speech: Speech, beckett: bytes, granularities: tuple[str, ...]) -> None:
    fields = [("timestamp_granularities[]", granularity) for granularity in granularities]
    body = speech.transcribe(beckett, *fields, response_format="verbose_json").body
    validate("CreateTranscriptionResponseVerboseJson", body)
    assert [word["word"] for word in body["words"]] == BECKETT.split()
    assert ("segments" in body) == ("segment" in granularities)
    times = [time for word in body["words"] for time in (word["start"], word["end"])]
    assert times == sorted(times)
    assert times[-1] <= body["duration"]


@pytest.mark.parametrize("granularity", ["segment", "word"])
def test_five_minutes(speech: Speech, long: Samples, granularity: str) -> None:
    fields = {"response_format": "verbose_json", "timestamp_granularities[]": granularity}
    body = speech.transcribe(wav(long), *fields.items()).body
    assert body["duration"] == pytest.approx(len(long) / 16000, abs=0.01)
    entries = body["segments" if granularity == "segment" else "words"]
    times = [time for entry in entries for time in (entry["start"], entry["end"])]
    assert times == sorted(times)
    assert times[-1] <= body["duration"]
    assert body["text"] == " ".join([BECKETT] * REPEATS)
    if granularity == "segment":
        assert [entry["id"] for entry in entries] == list(range(len(entries)))
        # Each repetition is heard where it was said.
        starts = [entry["start"] for entry in entries if entry["text"].startswith(" Ever tried.")]
        assert starts == pytest.approx([at * len(long) / 16000 / REPEATS for at in range(REPEATS)], abs=1.0)


def test_a_stream_tells_the_same(speech: Speech, long: Samples) -> None:
    minute = wav(long[: 60 * 16000])
    whole = speech.transcribe(minute)
    said, done = events(speech.transcribe(minute, stream="true"))
    assert said == done["text"] == text(whole)
    assert done["usage"] == whole.body["usage"]


def test_a_stream_of_silence_is_complete(speech: Speech) -> None:
    said, done = events(speech.transcribe(wav(silence(5)), stream="true"))
    assert (said, done["text"]) == ("", "")


def test_a_stream_has_no_subtitles(speech: Speech, beckett: bytes) -> None:
    for format in ("srt", "vtt", "verbose_json"):
        message = refused(speech.transcribe(beckett, stream="true", response_format=format), "stream")
        assert format in message


def test_a_prompt_and_expected_words(speech: Speech, beckett: bytes) -> None:
    assert text(speech.transcribe(beckett, prompt="A poem.", hotwords="Beckett, Godot")) == BECKETT
    answer = speech.transcribe(beckett, prompt="word " * 2000, hotwords="Godot " * 1000)
    assert "fail better" in text(answer).lower()


def test_expected_words_have_a_say(speech: Speech, beckett: bytes) -> None:
    heard = text(speech.transcribe(beckett, ("keywords[]", "Beckett"), ("keywords[]", "Godot")))
    assert "ail better" in heard


def test_a_temperature_and_parts_cut_otherwise(speech: Speech, beckett: bytes) -> None:
    assert "again" in text(speech.transcribe(beckett, temperature="0.2")).lower()
    assert text(speech.transcribe(beckett, chunking_strategy="auto")) == BECKETT
    detection = [("chunking_strategy[type]", "server_vad"), ("chunking_strategy[silence_duration_ms]", "500")]
    assert text(speech.transcribe(beckett, *detection)) == BECKETT
    assert "again" in text(speech.transcribe(beckett, vad_filter="false")).lower()


def test_what_the_engine_cannot_tell(speech: Speech, beckett: bytes) -> None:
    refused(speech.transcribe(beckett, ("include[]", "logprobs")), "include", "unsupported_value")
    words = ("timestamp_granularities[]", "word")
    assert "verbose_json" in refused(speech.transcribe(beckett, words), "timestamp_granularities")
    refused(speech.transcribe(beckett, response_format="diarized_json"), "response_format")
