"""The runtimes that write text, each serving the same model: what a test asks of one it asks of all."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from moorage.wire.runtime import LlamaCppSettings, OpenVinoSettings, RuntimeSettings
from tests.integration.runtimes.runtime import TOKEN, Runtime

SLOTS, CONTEXT = 4, 2048
GIVES = {"llamacpp": frozenset({"top_logprobs", "logit_bias", "cached_tokens"}), "openvino": frozenset[str]()}
"""What only some engines can; the others refuse it by name."""

Settings = Callable[..., RuntimeSettings]


def settings(folder: Path, weights: Path, **fields: Any) -> dict[str, Any]:
    common: dict[str, Any] = {"socket": f"{folder}/engine.sock", "token": TOKEN, "model_path": str(weights)}
    # One thread: with more, an engine's threads wait for each other in every operation when the machine is busy.
    common |= {"served_name": "smol", "task": "generate", "context": CONTEXT, "threads": 1, "grace_s": 1.0}
    return common | {"batch_tokens": 256} | fields


def llamacpp(folder: Path, weights: Path, *, slots: int = SLOTS, **fields: Any) -> RuntimeSettings:
    return LlamaCppSettings(**settings(folder, weights, slots=slots, **fields))


def openvino(folder: Path, weights: Path, *, slots: int = SLOTS, **fields: Any) -> RuntimeSettings:
    context = fields.get("context", CONTEXT)
    own: dict[str, Any] = {"sequences": slots, "cache_tokens": slots * context, "parameters": 134_515_008}
    return OpenVinoSettings(**settings(folder, weights, **own, **fields))


RUNTIMES: dict[str, Settings] = {"llamacpp": llamacpp, "openvino": openvino}


@pytest.fixture(scope="session", params=list(RUNTIMES))
def engine(request: pytest.FixtureRequest) -> str:
    if request.param == "openvino":
        pytest.importorskip("openvino_genai", reason="the extra openvino is not installed")
    return request.param


@pytest.fixture(scope="session")
def gives(engine: str) -> frozenset[str]:
    return GIVES[engine]


@pytest.fixture(scope="session")
def generate(engine: str, chat_weights: Path) -> Iterator[Runtime]:
    """SmolLM2, four calls at once."""
    folder = Path(tempfile.mkdtemp(prefix="mo-"))
    try:
        with Runtime(RUNTIMES[engine](folder, chat_weights), engine) as running:
            yield running.start().ready()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def make_runtime(engine: str, chat_weights: Path, short_tmp: Path) -> Iterator[Callable[..., Runtime]]:
    """Makes runtimes that end with the test; keywords change the settings."""
    made: list[Runtime] = []

    def make(**changes: Any) -> Runtime:
        folder = short_tmp / str(len(made))
        folder.mkdir()
        made.append(Runtime(RUNTIMES[engine](folder, chat_weights, **changes), engine))
        return made[-1]

    yield make
    for running in made:
        running.__exit__()
