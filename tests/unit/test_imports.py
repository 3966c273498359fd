"""Processes of which there are many, or which start often, import no more than they need."""

import subprocess
import sys

import pytest

HEAVY = frozenset(
    {"pydantic", "pydantic_core", "yaml", "psutil", "pip", "numpy", "moorage.config"}
    | {"xllamacpp", "onnxruntime", "tokenizers", "faster_whisper", "ctranslate2", "av", "huggingface_hub"}
    | {"openvino", "openvino_genai", "openvino_telemetry"}
)
OF_COMMANDS = frozenset({"rich", "click"})
"""structlog and uvicorn bring these along themselves; who uses neither must not have them."""
NOT_FOR_KEEPERS = frozenset({"asyncio", "typing", "msgspec", "structlog", "subprocess", "logging", "ssl"})


def loaded(module: str) -> set[str]:
    """What a fresh interpreter has loaded after importing `module`."""
    program = f"import sys, {module}; print(*sys.modules)"
    argv = [sys.executable, "-c", program]
    return set(subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30).stdout.split())


@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("moorage.gateway.__main__", HEAVY),
        ("moorage.worker.keeper", HEAVY | OF_COMMANDS | NOT_FOR_KEEPERS),
        ("moorage.runtimes.llamacpp.__main__", HEAVY | OF_COMMANDS),
        ("moorage.runtimes.onnx.__main__", HEAVY | OF_COMMANDS),
        ("moorage.runtimes.openvino_encoder.__main__", HEAVY | OF_COMMANDS),
        ("moorage.runtimes.whisper.__main__", HEAVY | OF_COMMANDS),
        ("moorage.cli.main", HEAVY | {"rich", "aiohttp", "starlette", "uvicorn", "structlog", "asyncio"}),
    ],
)
def test_no_more_than_needed(module: str, without: frozenset[str]) -> None:
    assert not loaded(module) & without
