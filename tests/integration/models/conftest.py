from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.integration.models.fileserver import FileServer, serving
from tests.integration.models.hubserver import HubServer, serving_hub

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
async def hub(no_hub_settings: pytest.MonkeyPatch) -> AsyncGenerator[HubServer]:
    """Both hubs, at the addresses the environment names."""
    async with serving_hub() as hub:
        no_hub_settings.setenv("HF_ENDPOINT", hub.url)
        no_hub_settings.setenv("MODELSCOPE_DOMAIN", hub.url)
        yield hub
