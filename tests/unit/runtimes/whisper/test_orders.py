"""What a model can do decides what a form may ask for."""

from typing import Any

import pytest

pytest.importorskip("faster_whisper", reason="speech needs its extra: pip install 'moorage[speech]'")

from moorage.errors import BadRequest
from moorage.runtimes.whisper.languages import NAMES, code
from moorage.runtimes.whisper.orders import order
from moorage.runtimes.whisper.transcriber import Order
from moorage.wire.api.audio import TranscriptionRequest, TranslationRequest

MANY = list(NAMES)


def transcribed(known: list[str] = MANY, /, **fields: Any) -> Order:
    return order(TranscriptionRequest(**fields), known, "m")


def translated(known: list[str] = MANY, /, **fields: Any) -> Order:
    return order(TranslationRequest(**fields), known, "m")


def test_a_model_of_many_languages() -> None:
    assert transcribed().task == "transcribe"
    assert transcribed(language="German").language == "de"
    assert transcribed(language="pt-BR").language == "pt"
    assert translated().task == "translate"
    assert translated(language="de").language == "de"
    assert translated(language="en").task == "transcribe"
    assert transcribed(to_language="en").task == "translate"
    assert transcribed(language="de", to_language="de").task == "transcribe"


def test_one_of_some_languages() -> None:
    request = TranscriptionRequest(languages=["de", "nl"])
    assert order(request, MANY, "m").among == ["de", "nl"]
    assert order(TranscriptionRequest(languages=["de"]), MANY, "m").language == "de"


def test_words_to_expect_are_one_text() -> None:
    assert transcribed(hotwords="Godot", keywords=["Lucky ", " Pozzo", ""]).hotwords == "Godot, Lucky, Pozzo"
    assert transcribed(hotwords=" ").hotwords is None


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"language": "de"}, "language", "English only"),
        ({"languages": ["en", "de"]}, "languages", "English only"),
        ({"to_language": "de"}, "to_language", "into English only"),
        ({"language": "klingon"}, "language", "ISO 639-1"),
    ],
)
def test_an_english_model_transcribes_english(fields: dict[str, Any], param: str, words: str) -> None:
    assert transcribed(["en"], language="en").task == "transcribe"
    assert transcribed(["en"], to_language="en").task == "transcribe"
    with pytest.raises(BadRequest, match=words) as caught:
        transcribed(["en"], **fields)
    assert caught.value.param == param


def test_an_english_model_cannot_translate() -> None:
    with pytest.raises(BadRequest, match="cannot translate: it knows English only"):
        translated(["en"])
    with pytest.raises(BadRequest, match="into English only, not into german"):
        translated(to_language="de")


def test_a_language_the_model_lacks() -> None:
    with pytest.raises(BadRequest, match="does not know that language"):
        transcribed([code for code in MANY if code != "yue"], language="yue")


def test_codes() -> None:
    assert [code(each, "language") for each in ("en", "EN", "english", "en_US", "jv", "Cantonese")] == [
        "en", "en", "en", "en", "jw", "yue",
    ]  # fmt: skip
