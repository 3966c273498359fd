"""`moorage models` over folders and hubs, as a user runs it."""

import asyncio
import json
import os
import sys
from pathlib import Path

from tests.integration.models.fileserver import Plan
from tests.integration.models.hubserver import HubServer, commit_of, git_sha1
from tests.integration.models.repositories import ENCODER, FOLDER, GGUFS


async def moorage(cache: Path, *arguments: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "moorage.cli.main", "models", *arguments),
        env={**os.environ, "MOORAGE_CACHE_DIR": str(cache)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_a_folder_of_a_hub_from_pull_to_remove(hub: HubServer, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    hub.add("Org/encoder", ENCODER)
    code, out, err = await moorage(cache, "pull", "hf:Org/encoder")
    path = Path(out.strip())
    assert (code, path.name) == (0, "encoder")
    assert "the safetensors weights (model.safetensors) and what goes with them" in err
    assert "(100 %)" in err
    assert f"hf:Org/encoder: {len(FOLDER)} files, 3.0 MB, revision {commit_of(ENCODER)}, sha256 " in err
    pin = err.rpartition("sha256 ")[2].strip()

    (entry,) = json.loads((await moorage(cache, "list", "--json"))[1])
    assert (entry["sha256"], entry["files"], entry["revision"]) == (pin, len(FOLDER), commit_of(ENCODER))
    row = (await moorage(cache, "list"))[1].splitlines()[1]
    assert row.split()[:4] == ["encoder", "3.0", "MB", str(len(FOLDER))]
    assert commit_of(ENCODER)[:12] in row
    assert await moorage(cache, "pull", "hf:Org/encoder", "--sha256", pin) == (0, out, err.splitlines()[-1] + "\n")

    assert await moorage(cache, "verify") == (0, f"ok   {path}\n", await _bars(cache))
    (path / "1_Pooling" / "config.json").unlink()
    os.truncate(path / "model.safetensors", 5)
    code, out, err = await moorage(cache, "verify", "encoder")
    assert code == 1
    assert out.startswith(f"bad  {path} 1_Pooling/config.json is gone; model.safetensors has 5 bytes instead of ")
    assert "to mend encoder: moorage models pull 'hf:Org/encoder'" in err
    assert (await moorage(cache, "pull", "hf:Org/encoder"))[0] == 0
    assert (await moorage(cache, "remove", "encoder"))[:2] == (0, f"removed {path}\n")
    assert list((cache / "models").iterdir()) == []


async def _bars(cache: Path) -> str:
    """What verify says of its progress: the same each time."""
    return (await moorage(cache, "verify"))[2]


async def test_what_was_chosen_and_what_is_tried_again_is_told(hub: HubServer, tmp_path: Path) -> None:
    hub.add("Org/Tiny-GGUF", GGUFS)
    hub.cdn.plans = [Plan(status=503, headers={"Retry-After": "0"})]
    code, _, err = await moorage(tmp_path / "cache", "pull", "Org/Tiny-GGUF")
    assert code == 0
    assert "hf:Org/Tiny-GGUF: tiny-Q4_K_M.gguf: Q4_K_M, the usual balance of size and quality; also there: Q8_0" in err
    assert "the server answers 503 Said; trying again in 0 s" in err
    assert "s3cret" not in err


async def test_a_cached_model_is_told_and_not_copied(hub: HubServer, tmp_path: Path) -> None:
    repository = tmp_path / "hf" / "hub" / "models--Org--one"
    snapshot = repository / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    (repository / "blobs" / git_sha1(b"weights")).write_bytes(b"weights")
    (snapshot / "one.gguf").symlink_to(f"../../blobs/{git_sha1(b'weights')}")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    code, out, err = await moorage(tmp_path / "cache", "pull", "Org/one")
    assert (code, out) == (0, f"{snapshot / 'one.gguf'}\n")
    assert f"using {snapshot / 'one.gguf'}, in the cache of Hugging Face" in err
    assert hub.hub.seen == []
    assert not (tmp_path / "cache").exists()
