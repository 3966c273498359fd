"""Starts of vLLM that cannot succeed: refused before they begin, or explained by its own log."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moorage.config.places import default_cache_dir
from moorage.engines.vllm_flags import GONE, NEUTRAL, OURS
from moorage.environments.discovery import installations
from tests.e2e.product import Product, wait_until
from tests.engines import vllm_parts

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(400),
    pytest.mark.skipif(vllm_parts.missing() is not None, reason=vllm_parts.missing() or ""),
]


@pytest.fixture(scope="module")
def served(chat_weights: Path) -> Iterator[Product]:
    folder = Path(tempfile.mkdtemp(prefix="mo-"))
    good = vllm_parts.smollm2(chat_weights)
    models: list[dict[str, Any]] = [
        {"name": "flag", "source": str(good), "options": {"extra_args": {"swap-space": 4}}},
        {"name": "typo", "source": str(good), "options": {"extra_args": {"max-num-sequences": 4}}},
        {"name": "long", "source": str(good), "options": {"max_model_len": 100000}},
        {"name": "lost", "source": str(good), "options": {"lora": {"pirate": str(folder / "nowhere")}}},
        {"name": "shared", "source": str(good), "options": {"tensor_parallel": 2, "max_model_len": 512}},
        {"name": "strange", "source": str(strange(good, folder / "strange")), "options": {"max_model_len": 512}},
    ]
    config = {"models": [model | {"engine": "vllm", "task": "generate"} for model in models]}
    try:
        with Product(folder, config, env=vllm_parts.path()).start() as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def strange(good: Path, folder: Path) -> Path:
    """A model of a kind that nobody knows."""
    folder.mkdir()
    for file in good.iterdir():
        if file.name != "config.json":
            (folder / file.name).symlink_to(file)
    settings = json.loads((good / "config.json").read_text())
    settings |= {"model_type": "strange", "architectures": ["StrangeForCausalLM"]}
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize(
    ("model", "words", "limit_s"),
    [
        ("flag", "has no --swap-space: calls are no longer swapped out", 60),
        ("typo", "did you mean --max-num-seqs?", 60),
        ("long", "the model was trained for 8192 tokens", 60),
        ("lost", "adapter 'pirate' of model 'lost' (options.lora): there is no file or folder", 60),
        ("shared", "9 attention heads cannot be shared by 2 devices. Set options.tensor_parallel to a divisor", 300),
        ("strange", "does not know models of type 'strange'", 300),
    ],
)
def test_what_is_wrong_is_said(served: Product, model: str, words: str, limit_s: float) -> None:
    def reason() -> str:
        status, seen = served.get("/api/v1/status")
        models: list[dict[str, Any]] = seen["models"] if status == 200 else []
        found: list[dict[str, Any]] = [target for one in models if one["id"] == model for target in one["targets"]]
        return str(found[0]["reason"]) if found and found[0]["state"] == "failed" else ""

    said = wait_until(reason, limit_s, f"{model} has failed")
    assert words in said
    assert served.chat(model)[0] == 503


def test_what_is_said_of_flags_is_true_of_the_installed_version() -> None:
    found = installations(default_cache_dir(), vllm_parts.path() or {"PATH": ""})
    flags = next(one.flags for one in found if one.engine == "vllm")
    assert flags is not None
    assert not GONE.keys() & set(flags)
    assert NEUTRAL.keys() | OURS.keys() <= set(flags)
