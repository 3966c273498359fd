"""One server for the tests that only call it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.product import Product


@pytest.fixture(scope="session")
def served(chat_weights: Path) -> Iterator[Product]:
    """`moorage serve` with the real weights twice: to chat, and to embed. Two gateways."""
    folder = Path(tempfile.mkdtemp(prefix="mo-"))
    config = {
        "server": {"processes": 2, "max_request_size": "1MB"},
        "models": [
            {
                "name": "HuggingFaceTB/SmolLM2-135M-Instruct",
                "source": str(chat_weights),
                "aliases": ["smol"],
                # With more, llama.cpp's threads wait for each other in every operation when the machine is busy.
                "options": {"threads": 1},
            },
            {"name": "vectors", "source": str(chat_weights), "task": "embed", "options": {"threads": 1}},
        ],
    }
    try:
        with Product(folder, config).start().ready() as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)
