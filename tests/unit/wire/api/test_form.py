import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.errors import BadRequest
from moorage.wire.api.audio import TranscriptionRequest, VoiceDetection
from moorage.wire.api.form import decode_form


def decoded(*fields: tuple[str, str]) -> TranscriptionRequest:
    return decode_form(TranscriptionRequest, fields)


def test_text_becomes_what_the_field_is() -> None:
    form = decoded(
        ("model", "whisper-1"),
        ("temperature", ".3"),
        ("stream", "True"),
        ("prompt", "7"),
        ("language", ""),
        ("seed", "no field of ours"),
    )
    assert (form.model, form.temperature, form.stream, form.prompt) == ("whisper-1", 0.3, True, "7")
    assert form.language is None


@pytest.mark.parametrize("name", ["timestamp_granularities", "timestamp_granularities[]"])
def test_repeated_fields_are_a_list(name: str) -> None:
    assert decoded((name, "word"), (name, "segment")).timestamp_granularities == ["word", "segment"]
    assert decoded((name, "word")).timestamp_granularities == ["word"]


@pytest.mark.parametrize(
    "fields",
    [
        [("chunking_strategy", '{"type": "server_vad", "threshold": 0.25}')],
        [("chunking_strategy[type]", "server_vad"), ("chunking_strategy[threshold]", "0.25")],
    ],
)
def test_an_object_comes_as_json_or_field_by_field(fields: list[tuple[str, str]]) -> None:
    assert decoded(*fields).chunking_strategy == VoiceDetection(type="server_vad", threshold=0.25)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ([("temperature", "2")], "temperature"),
        ([("temperature", "warm")], "temperature"),
        ([("temperature", "NaN")], "temperature"),
        ([("temperature", "1e999")], "temperature"),
        ([("temperature", "9" * 200)], "temperature"),
        ([("stream", "maybe")], "stream"),
        ([("response_format", "diarized_json")], "response_format"),
        ([("timestamp_granularities[]", "letter")], "timestamp_granularities[0]"),
        ([("chunking_strategy", "never")], "chunking_strategy"),
        ([("chunking_strategy", "{" * 5000)], "chunking_strategy"),
        ([("chunking_strategy[type]", "server_vad"), ("chunking_strategy[threshold]", "x")], "chunking_strategy.thr"),
        ([("language", "en"), ("language", "de")], "language"),
        ([("prompt[part]", "x")], "prompt"),
    ],
)
def test_a_refusal_names_the_field(fields: list[tuple[str, str]], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decoded(*fields)
    assert (caught.value.param or "").startswith(param)


NAMES = ["temperature", "stream", "timestamp_granularities[]", "chunking_strategy", "chunking_strategy[type]", "a[b]"]


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.text(max_size=20)), max_size=6))
def test_any_form_is_decoded_or_refused(fields: list[tuple[str, str]]) -> None:
    with contextlib.suppress(BadRequest):
        assert isinstance(decoded(*fields), TranscriptionRequest)
