import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from moorage.wire.runtime import OpenVinoSettings
from tests import openvino_text_ir
from tests.integration.runtimes.runtime import TOKEN, Runtime

Make = Callable[..., Runtime]


def settings(folder: Path, model: Path, **changes: Any) -> OpenVinoSettings:
    values: dict[str, Any] = {
        "socket": f"{folder}/engine.sock",
        "token": TOKEN,
        "model_path": str(model),
        "served_name": "smol",
        "task": "generate",
        "threads": 2,
        "sequences": 16,
        "context": 2048,
        "cache_tokens": 8192,
        "batch_tokens": 256,
        "grace_s": 1.0,
        "parameters": 134_515_008,
    }
    return OpenVinoSettings(**{**values, **changes})


@pytest.fixture(autouse=True)
def installed() -> None:
    pytest.importorskip("openvino_genai", reason="the extra openvino is not installed")


@pytest.fixture
def make_runtime(chat_weights: Path, short_tmp: Path) -> Iterator[Make]:
    """Makes runtimes that end with the test; keywords change the settings."""
    made: list[Runtime] = []

    def make(model: Path | None = None, **changes: Any) -> Runtime:
        folder = short_tmp / str(len(made))
        folder.mkdir()
        made.append(Runtime(settings(folder, model or chat_weights, **changes), "openvino"))
        return made[-1]

    yield make
    for runtime in made:
        runtime.__exit__()


@pytest.fixture(scope="session")
def generate(chat_weights: Path) -> Iterator[Runtime]:
    """SmolLM2 from its GGUF file, sixteen sequences."""
    folder = Path(tempfile.mkdtemp(prefix="mo-"))
    try:
        with Runtime(settings(folder, chat_weights), "openvino") as running:
            yield running.start().ready()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def ir(chat_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model as a folder of OpenVINO's IR. Read only."""
    pytest.importorskip("openvino_genai", reason="the extra openvino is not installed")
    return openvino_text_ir.write(chat_weights, tmp_path_factory.mktemp("ir") / "smol")
