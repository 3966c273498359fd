"""A model of many languages. None comes in a package, so this one is made: its shape is right, its weights say nothing.

What it hears has no meaning; what it is asked, and how that is answered, has.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("faster_whisper", reason="speech needs its extra: pip install 'moorage[speech]'")

import ctranslate2

from moorage.models.files import facts
from moorage.runtimes.whisper.languages import NAMES
from tests.contract.openai_schema import validate
from tests.integration.runtimes.speech.client import TRANSLATE, Speech, events, refused, text
from tests.integration.runtimes.speech.recordings import silence, wav

pytestmark = pytest.mark.engine

WIDTH = 16
VOCABULARY = 51865
SPECIAL = 50256
"""The first special token of English models. The others have an empty token there: by that CTranslate2 tells them."""
ONCE = ("temperature", "1")
"""Decoded once: nothing it says would ever look right."""


@pytest.fixture(scope="module")
def polyglot_folder(whisper: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("polyglot") / "model"
    folder.mkdir()
    words = (whisper / "vocabulary.txt").read_text().splitlines()
    words.insert(SPECIAL, "")
    spec = _weights()
    spec.register_vocabulary(words)
    spec.validate()
    spec.save(str(folder))
    shutil.copy(whisper / "config.json", folder)
    tokenizer = json.loads((whisper / "tokenizer.json").read_text())
    for token in tokenizer["added_tokens"]:
        token["id"] += 1
    tokenizer["model"]["vocab"] |= {"": SPECIAL, words[SPECIAL + 1]: SPECIAL + 1}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


def _weights() -> Any:
    random = np.random.default_rng(0)
    specs: Any = ctranslate2.specs
    spec: Any = specs.WhisperSpec(1, 2, 1, 2)

    def linear(layer: Any, out: int, into: int = WIDTH) -> None:
        layer.weight = random.normal(0, 0.1, (out, into)).astype(np.float32)
        layer.bias = np.zeros(out, np.float32)

    def norm(layer: Any) -> None:
        layer.gamma, layer.beta = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)

    def table(rows: int) -> Any:
        return random.normal(0, 0.1, (rows, WIDTH)).astype(np.float32)

    encoder, decoder = spec.encoder, spec.decoder
    for layer, channels in ((encoder.conv1, 80), (encoder.conv2, WIDTH)):
        layer.weight = random.normal(0, 0.1, (WIDTH, channels, 3)).astype(np.float32)
        layer.bias = np.zeros(WIDTH, np.float32)
    encoder.position_encodings.encodings, decoder.position_encodings.encodings = table(1500), table(448)
    decoder.embeddings.weight = decoder.projection.weight = table(VOCABULARY)
    for half in (encoder, decoder):
        norm(half.layer_norm)
        (layer,) = half.layer
        norm(layer.self_attention.layer_norm)
        linear(layer.self_attention.linear[0], 3 * WIDTH)
        linear(layer.self_attention.linear[1], WIDTH)
        norm(layer.ffn.layer_norm)
        linear(layer.ffn.linear_0, 4 * WIDTH)
        linear(layer.ffn.linear_1, WIDTH, 4 * WIDTH)
    across = decoder.layer[0].attention
    norm(across.layer_norm)
    for layer, out in zip(across.linear, (WIDTH, 2 * WIDTH, WIDTH), strict=True):
        linear(layer, out)
    return spec


@pytest.fixture
def polyglot(make_speech: Callable[..., Speech], polyglot_folder: Path) -> Speech:
    return make_speech(polyglot_folder).start().ready()


def test_its_files_say_that_it_knows_many(polyglot_folder: Path) -> None:
    found = facts(polyglot_folder)
    assert (found.format, found.task) == ("ctranslate2", "transcribe")
    assert len(found.languages) > 90


def test_languages_told_given_and_chosen(polyglot: Speech, beckett: bytes) -> None:
    def language(*fields: tuple[str, str]) -> str:
        body = polyglot.transcribe(beckett, ONCE, *fields, response_format="verbose_json").body
        validate("CreateTranscriptionResponseVerboseJson", body)
        return body["language"]

    assert language() in NAMES.values()
    assert language(("language", "de")) == "german"
    assert language(("language", "Welsh")) == "welsh"
    assert language(("languages[]", "fi"), ("languages[]", "et")) in ("finnish", "estonian")
    assert "ISO 639-1" in refused(polyglot.transcribe(beckett, ("language", "xx")), "language", "unknown_language")


def test_translations_are_english(polyglot: Speech, beckett: bytes) -> None:
    answer = polyglot.transcribe(beckett, ONCE, path=TRANSLATE, response_format="verbose_json")
    validate("CreateTranslationResponseVerboseJson", answer.body)
    assert (answer.body["task"], answer.body["language"]) == ("translate", "english")
    plain = polyglot.transcribe(beckett, ONCE, path=TRANSLATE)
    assert plain.status == 200
    validate("CreateTranslationResponseJson", plain.body)
    said, done = events(polyglot.transcribe(beckett, ONCE, path=TRANSLATE, stream="true"))
    assert said == done["text"]
    assert polyglot.transcribe(beckett, ONCE, to_language="en").status == 200
    message = refused(polyglot.transcribe(beckett, to_language="fr", path=TRANSLATE), "to_language")
    assert "into English only, not into french" in message


def test_silence_has_no_language(polyglot: Speech) -> None:
    body = polyglot.transcribe(wav(silence(2)), response_format="verbose_json").body
    assert (body["text"], body["language"]) == ("", "unknown")
    assert text(polyglot.transcribe(wav(silence(2)), language="fr")) == ""


def test_an_english_model_says_what_it_cannot(speech: Speech, beckett: bytes) -> None:
    message = refused(speech.transcribe(beckett, path=TRANSLATE), "model", "unsupported_task")
    assert "cannot translate: it knows English only" in message
    refused(speech.transcribe(beckett, to_language="de"), "to_language", "unsupported_language")
    assert "English only" in refused(speech.transcribe(beckett, language="de"), "language", "unsupported_language")
    assert text(speech.transcribe(beckett, language="en", to_language="en")).endswith("Fail better.")
