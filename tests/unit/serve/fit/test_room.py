"""A configuration with real files on this machine, whatever it has."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from moorage.config.load import Loaded, load
from moorage.errors import ConfigError
from moorage.serve.fit.room import settled
from moorage.worker.machine import machine

Write = Callable[..., Loaded]


@pytest.fixture
def loaded(tmp_path: Path) -> Write:
    def write(*models: dict[str, Any]) -> Loaded:
        path = tmp_path / "moorage.yaml"
        path.write_text(json.dumps({"models": list(models), "cache_dir": str(tmp_path / "cache")}))
        return load(path, environ={"HOME": str(tmp_path)})

    return write


def too_many() -> int:
    """Replicas of the default model with one call each that need a little more than this machine has."""
    return min(64, int(machine().memory_bytes / (300 << 20)))


def test_what_fits_is_as_it_was(loaded: Write, chat_weights: Path) -> None:
    before = loaded({"name": "a", "source": str(chat_weights), "options": {"max_model_len": 512}})
    assert settled(before) == before
    assert settled(before, fit=True) == before


@pytest.mark.skipif(psutil.virtual_memory().total > 48 << 30, reason="64 replicas of the small model fit here")
def test_too_many_are_refused_and_can_be_fitted(loaded: Write, chat_weights: Path) -> None:
    before = loaded({"name": "a", "source": str(chat_weights), "engine": "llama.cpp", "replicas": too_many()})
    with pytest.raises(ConfigError, match="would fit: set that in their options, or start with --fit"):
        settled(before)
    after = settled(before, fit=True)
    (spec,) = after.config.models.local
    assert spec.options.max_sequences is not None
    assert spec.options.max_sequences < 4
    (notice,) = after.notices[len(before.notices) :]
    assert notice.startswith("--fit: a max_sequences ")
    assert settled(after) == after


def test_what_is_not_here_broken_stopped_or_elsewhere_is_none_of_its_business(
    loaded: Write, tmp_path: Path, chat_weights: Path
) -> None:
    (tmp_path / "text.gguf").write_text("hello")
    before = loaded(
        {"name": "far", "source": "org/name", "replicas": 64},
        {"name": "broken", "source": str(tmp_path / "text.gguf"), "replicas": 64},
        {"name": "gone", "source": str(tmp_path / "gone.gguf"), "replicas": 64},
        {"name": "stopped", "source": str(chat_weights), "replicas": 0},
        {"name": "elsewhere", "url": "http://127.0.0.1:9/v1"},
        {"name": "unknown", "source": str(chat_weights), "engine": "no.such:engine", "replicas": 64},
    )
    assert settled(before, fit=True) == before


def test_no_models(loaded: Write) -> None:
    assert settled(loaded()) == loaded()


def test_it_takes_no_time_to_speak_of(loaded: Write, chat_weights: Path) -> None:
    before = loaded(
        *({"name": f"m{n}", "source": str(chat_weights), "options": {"max_model_len": 512}} for n in range(8))
    )
    began = time.monotonic()
    settled(before)
    assert time.monotonic() - began < 10
