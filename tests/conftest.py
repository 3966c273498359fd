"""What every tier of tests may use: real weights, and folders short enough for Unix sockets."""

import asyncio
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from moorage.config.defaults import DEFAULT_EMBEDDING, DEFAULT_MODEL
from moorage.config.places import default_cache_dir
from moorage.models.store import ModelStore

_CACHE_DIR = default_cache_dir()


def pytest_configure() -> None:
    """Started in the background, a process ignores Ctrl-C, and so would all it starts: the programs under test too."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def chat_weights() -> Path:
    """The default model's GGUF file, from the user's own cache: fetched once, shared by all runs. Read only."""
    return asyncio.run(ModelStore(_CACHE_DIR).fetch(DEFAULT_MODEL.source, DEFAULT_MODEL.sha256))


@pytest.fixture(scope="session")
def embedding_weights() -> Path:
    """The folder of the default embedding model: safetensors as sentence-transformers keeps them. Read only."""
    return asyncio.run(ModelStore(_CACHE_DIR).fetch(DEFAULT_EMBEDDING.source, DEFAULT_EMBEDDING.sha256))


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    """An empty folder whose path is short enough for Unix sockets (107 bytes), removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="mo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
