"""What every tier of tests may use: real weights, and folders short enough for Unix sockets."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from moorage.config.defaults import DEFAULT_MODEL
from moorage.config.places import default_cache_dir
from moorage.models.store import ModelStore

_CACHE_DIR = default_cache_dir()


@pytest.fixture(scope="session")
def chat_weights() -> Path:
    """The default model's GGUF file, from the user's own cache: fetched once, shared by all runs. Read only."""
    return asyncio.run(ModelStore(_CACHE_DIR).fetch(DEFAULT_MODEL.source, DEFAULT_MODEL.sha256))


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    """An empty folder whose path is short enough for Unix sockets (107 bytes), removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="mo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
