import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest

from moorage.models.store import ModelStore
from tests.integration.models.fileserver import FileServer, serving
from tests.integration.models.hubserver import HubServer, serving_hub
from tests.integration.models.repositories import ENCODER, GGUFS, QUICK

_HUB_SETTINGS = (
    "HF_ENDPOINT",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "HF_TOKEN_PATH",
    "HF_HUB_CACHE",
    "HUGGINGFACE_HUB_CACHE",
    "HF_HUB_OFFLINE",
    "TRANSFORMERS_OFFLINE",
    "MODELSCOPE_ENDPOINT",
    "MODELSCOPE_API_TOKEN",
)


@pytest.fixture
async def server() -> AsyncGenerator[FileServer]:
    async with serving() as files:
        yield files


@pytest.fixture
def no_hub_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A user without settings of the hubs, and with empty caches of them."""
    for name in _HUB_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "ms"))
    return monkeypatch


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """An empty one, that does not wait long."""
    return ModelStore(tmp_path / "cache", patience=QUICK)


@pytest.fixture
async def hub(no_hub_settings: pytest.MonkeyPatch) -> AsyncGenerator[HubServer]:
    """Both hubs, at the addresses the environment names, with two repositories."""
    async with serving_hub() as hub:
        hub.add("Org/Tiny-GGUF", GGUFS)
        hub.add("Org/encoder", ENCODER)
        no_hub_settings.setenv("HF_ENDPOINT", hub.url)
        no_hub_settings.setenv("MODELSCOPE_DOMAIN", hub.url)
        yield hub


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of 4 MiB."""
    folder = Path(tempfile.mkdtemp(prefix="mo-"))
    if os.geteuid() != 0 or shutil.which("mount") is None:
        folder.rmdir()
        pytest.skip("mounting a small disk needs root")
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, check=False)
    if mounted.returncode != 0:
        folder.rmdir()
        pytest.skip(f"cannot mount a small disk: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()
