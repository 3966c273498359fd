import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from moorage.config.defaults import DEFAULT_SPEECH
from moorage.config.places import default_cache_dir
from moorage.models.store import ModelStore
from moorage.wire.runtime import SpeechSettings
from tests.integration.runtimes.runtime import TOKEN
from tests.integration.runtimes.speech.client import Speech

RECORDING = "pypi:useful-moonshine-onnx==20251121#moonshine_onnx/assets/beckett.wav"
RECORDING_SHA256 = "e5a26b3d29e5b0bc8dbd72c11d16a3808a4ec0ac45b21f12a27d2a2fe5c5ae61"


def settings_for(model: Path, folder: Path, **changes: Any) -> SpeechSettings:
    values: dict[str, Any] = {
        "socket": f"{folder}/engine.sock",
        "token": TOKEN,
        "model_path": str(model),
        "served_name": "speech",
        "task": "transcribe",
        "threads": 1,
        "max_calls": 2,
        "spool_dir": f"{folder}/spool",
        "niceness": 0,
        "grace_s": 1.0,
        "max_audio_s": 1000.0,
        "max_upload_bytes": 20_000_000,
    }
    settings = SpeechSettings(**{**values, **changes})
    Path(settings.spool_dir).mkdir(parents=True, exist_ok=True)
    return settings


def _fetch(source: str, sha256: str | None) -> Path:
    return asyncio.run(ModelStore(default_cache_dir()).fetch(source, sha256))


@pytest.fixture(scope="session")
def whisper() -> Path:
    """The folder of Whisper tiny.en. Read only."""
    return _fetch(DEFAULT_SPEECH.source, DEFAULT_SPEECH.sha256)


@pytest.fixture(scope="session")
def beckett() -> bytes:
    """Ten seconds of speech: a WAV file of 16,000 samples a second, 16 bits, one channel."""
    return _fetch(RECORDING, RECORDING_SHA256).read_bytes()


@pytest.fixture
def make_speech(whisper: Path, short_tmp: Path) -> Iterator[Callable[..., Speech]]:
    """Makes runtimes that end with the test; keywords change the settings."""
    made: list[Speech] = []

    def make(model: Path = whisper, **changes: Any) -> Speech:
        folder = short_tmp / f"r{len(made)}"
        folder.mkdir()
        made.append(Speech(settings_for(model, folder, **changes), "whisper"))
        return made[-1]

    yield make
    for runtime in made:
        runtime.__exit__()


@pytest.fixture(scope="session")
def speech(whisper: Path) -> Iterator[Speech]:
    """tiny.en, two recordings at once."""
    folder = Path(tempfile.mkdtemp(prefix="mo-"))
    try:
        with Speech(settings_for(whisper, folder), "whisper") as runtime:
            runtime.start().ready()
            yield runtime
            assert "Traceback" not in runtime.log
            assert list(Path(f"{folder}/spool").iterdir()) == []
    finally:
        shutil.rmtree(folder, ignore_errors=True)
