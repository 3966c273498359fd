import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from moorage.wire.runtime import LlamaCppSettings
from tests.integration.runtimes.runtime import TOKEN, Runtime


def settings_for(weights: Path, folder: Path, **changes: Any) -> LlamaCppSettings:
    # One thread: with more, llama.cpp's threads wait for each other in every operation when the machine is busy.
    values: dict[str, Any] = {
        "socket": f"{folder}/engine.sock",
        "token": TOKEN,
        "model_path": str(weights),
        "served_name": "smol",
        "task": "generate",
        "slots": 4,
        "context": 2048,
        "threads": 1,
        "batch_tokens": 256,
        "grace_s": 1.0,
    }
    return LlamaCppSettings(**{**values, **changes})


@pytest.fixture
def make_runtime(chat_weights: Path, short_tmp: Path) -> Iterator[Callable[..., Runtime]]:
    """Makes runtimes that end with the test; keywords change the settings."""
    made: list[Runtime] = []

    def make(**changes: Any) -> Runtime:
        folder = short_tmp / str(len(made))
        folder.mkdir()
        runtime = Runtime(settings_for(chat_weights, folder, **changes))
        made.append(runtime)
        return runtime

    yield make
    for runtime in made:
        runtime.__exit__()


def _served(weights: Path, **changes: Any) -> Iterator[Runtime]:
    folder = Path(tempfile.mkdtemp(prefix="mo-"))
    try:
        with Runtime(settings_for(weights, folder, **changes)) as runtime:
            yield runtime.start().ready()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def generate(chat_weights: Path) -> Iterator[Runtime]:
    """SmolLM2 for text, four slots."""
    yield from _served(chat_weights)


@pytest.fixture(scope="session")
def embed(chat_weights: Path) -> Iterator[Runtime]:
    """SmolLM2 for embeddings."""
    yield from _served(chat_weights, task="embed", pooling="mean", slots=2, context=1536, batch_tokens=1536)
