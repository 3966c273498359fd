"""vLLM as a user gets it: `moorage engine install`, a model pinned to the version, `moorage engine remove`.

Takes minutes, and 5 GB of disk while it runs.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.product import Product, wait_until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]

VERSION = "0.32.0"
NEEDED = {"--max-model-len", "--max-num-seqs", "--enforce-eager", "--no-enable-prefix-caching", "--uds", "--runner"}


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not pytest's, which keeps those of the last runs."""
    folder = Path(tempfile.mkdtemp(prefix="mo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def engine(cache: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "moorage.cli.main", "engine", *arguments],
        cwd=cache.parent,
        env={**os.environ, "MOORAGE_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )


def test_from_install_to_remove(folder: Path, embedding_weights: Path) -> None:
    cache = folder / "cache"
    done = engine(cache, "install", "--variant", "cpu", f"vllm=={VERSION}")
    assert done.returncode == 0, done.stderr
    assert "left out: torchvision, torchaudio, torchcodec" in done.stderr
    (one,) = (one for one in json.loads(engine(cache, "list", "--json").stdout) if one["managed"])
    assert (one["engine"], one["version"], one["packages"]["vllm"]) == ("vllm", VERSION, f"{VERSION}+cpu")
    assert set(one["flags"]) >= NEEDED
    assert one["env"]["LD_PRELOAD"].endswith("libiomp5.so")

    models = [
        {"name": "vectors", "source": str(embedding_weights), "engine": f"vllm=={VERSION}"},
        {"name": "other", "source": str(embedding_weights), "engine": "vllm==9.9"},
    ]
    serving = folder / "serving"
    serving.mkdir()
    with Product(serving, {"models": models}, env={"MOORAGE_CACHE_DIR": str(cache)}).start() as product:
        body = {"model": "vectors", "input": "Hello."}
        status, reply = wait_until(
            lambda: answer if (answer := product.post("/v1/embeddings", body))[0] == 200 else None,
            400,
            "an answer of vLLM",
        )
        assert (status, len(reply["data"][0]["embedding"])) == (200, 384)
        missing = f"engine 'vllm==9.9': this version is not installed, only {VERSION}: moorage engine install vllm==9.9"
        wait_until(lambda: missing in json.dumps(product.get("/api/v1/status")[1]), 30, missing)
        refused = engine(cache, "remove", "vllm")
        assert refused.returncode == 1
        assert f"vllm {VERSION} is running (process " in refused.stderr
    removed = engine(cache, "remove", "vllm")
    assert (removed.returncode, removed.stdout) == (0, f"removed {cache}/engines/vllm/{VERSION}\n")
    assert not (cache / "engines" / "vllm").exists()
