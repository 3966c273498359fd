"""The process: how it starts, and what it says of models it cannot load."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("faster_whisper", reason="speech needs its extra: pip install 'moorage[speech]'")

from moorage.engines.whisper import FasterWhisper
from tests.contract.openai_schema import validate
from tests.integration.runtimes.speech.client import Speech

pytestmark = pytest.mark.engine

Make = Callable[..., Speech]


def cause(runtime: Speech) -> str:
    """What the adapter makes of a start that failed."""
    assert runtime.start().wait(60) == 1, runtime.log
    assert runtime.out_path.read_bytes() == b""
    last = runtime.log.strip().splitlines()[-1]
    assert last.startswith("moorage: "), runtime.log
    diagnosis = FasterWhisper().diagnose(runtime.log)
    assert diagnosis is not None, runtime.log
    return diagnosis.cause


@pytest.fixture
def copy(whisper: Path, tmp_path: Path) -> Path:
    """The model's folder, to be spoilt."""
    folder = tmp_path / "model"
    shutil.copytree(whisper, folder)
    return folder


def test_what_it_tells_of_itself(speech: Speech) -> None:
    assert speech.get("/health").body == {"status": "ok"}
    (model,) = speech.get("/v1/models").body["data"]
    assert model["id"] == "speech"
    answer = speech.call("POST", "/v1/audio/transcriptions", b"", token="wrong")
    assert answer.status == 401
    validate("ErrorResponse", answer.body)
    assert speech.get("/v1/audio/transcriptions").status == 405


def test_no_tokenizer(make_speech: Make, copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    assert "tokenizer.json" in cause(make_speech(copy))


def test_a_damaged_tokenizer(make_speech: Make, copy: Path) -> None:
    (copy / "tokenizer.json").write_text('{"model": ')
    assert "damaged" in cause(make_speech(copy))


@pytest.mark.parametrize("size", [0, 100, 10_000_000])
def test_a_truncated_model(make_speech: Make, copy: Path, size: int) -> None:
    os.truncate(copy / "model.bin", size)
    assert "damaged" in cause(make_speech(copy))


def test_no_model_at_all(make_speech: Make, copy: Path) -> None:
    (copy / "model.bin").unlink()
    assert "missing, truncated or damaged" in cause(make_speech(copy))


def test_no_vocabulary(make_speech: Make, copy: Path) -> None:
    (copy / "vocabulary.txt").unlink()
    assert "missing, truncated or damaged" in cause(make_speech(copy))


def test_a_format_that_is_none(make_speech: Make) -> None:
    assert "number format" in cause(make_speech(compute_type="int5"))


def test_a_damaged_configuration(make_speech: Make, copy: Path) -> None:
    (copy / "config.json").write_text(json.dumps([1, 2])[:-1])
    assert "damaged" in cause(make_speech(copy))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", "{}"),
        ("config.json", '{"suppress_ids": [999999999], "suppress_ids_begin": []}'),
        ("vocabulary.txt", "a\n"),
        ("vocabulary.txt", ""),
        ("preprocessor_config.json", '{"hop_length": 0}'),
    ],
)
def test_files_that_do_not_belong_together(make_speech: Make, copy: Path, name: str, content: str) -> None:
    """The library loads most of them, and fails at every recording."""
    (copy / name).write_text(content)
    runtime = make_speech(copy)
    assert cause(runtime)
    assert "Traceback" not in runtime.log


def test_a_configuration_that_suppresses_nothing(make_speech: Make, copy: Path) -> None:
    """As converters write it for models that say nothing of it."""
    (copy / "config.json").write_text(json.dumps({"suppress_ids": None, "suppress_ids_begin": None}))
    assert make_speech(copy).start().ready().get("/health").body == {"status": "ok"}
