import json

import pytest

pytest.importorskip("faster_whisper", reason="speech needs its extra: pip install 'moorage[speech]'")

from moorage.runtimes.whisper.formats import srt, text_of, vtt, written
from moorage.runtimes.whisper.transcriber import Heard
from moorage.wire.api.audio import Granularity, Segment, Word
from tests.contract.openai_schema import validate


def segment(start: float, end: float, text: str) -> Segment:
    return Segment(
        id=0, seek=0, start=start, end=end, text=text, tokens=[1], temperature=0.0, avg_logprob=-0.1,
        compression_ratio=1.0, no_speech_prob=0.0,
    )  # fmt: skip


HEARD = [
    Heard(segment(0.0, 1.5, " A <b>bold</b> & odd\nline"), [Word(word="A", start=0.0, end=0.5)]),
    Heard(segment(3725.25, 3726.0, " 1 --> 2"), []),
]


def test_subtitles_keep_their_marks() -> None:
    assert srt(each.segment for each in HEARD) == (
        "1\n00:00:00,000 --> 00:00:01,500\nA <b>bold</b> & odd line\n\n2\n01:02:05,250 --> 01:02:06,000\n1 -> 2\n"
    )
    assert vtt(each.segment for each in HEARD) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nA &lt;b&gt;bold&lt;/b&gt; &amp; odd line\n\n"
        "01:02:05.250 --> 01:02:06.000\n1 -&gt; 2\n"
    )


def test_nothing_heard() -> None:
    assert (srt([]), vtt([]), text_of([])) == ("", "WEBVTT\n", "")


def test_a_translation_is_english() -> None:
    body = json.loads(
        written("verbose_json", HEARD, task="translate", language="de", duration_s=10.0, granularities=("segment",))
    )
    validate("CreateTranslationResponseVerboseJson", body)
    assert (body["language"], body["task"]) == ("english", "translate")


@pytest.mark.parametrize("granularities", [["word"], ["segment"], ["word", "segment"]], ids=str)
def test_lists_are_there_when_they_are_asked_for(granularities: list[Granularity]) -> None:
    body = json.loads(
        written("verbose_json", HEARD, task="transcribe", language="de", duration_s=10.0, granularities=granularities)
    )
    validate("CreateTranscriptionResponseVerboseJson", body)
    assert body["language"] == "german"
    assert {"words", "segments"} & set(body) == {f"{name}s" for name in granularities}
