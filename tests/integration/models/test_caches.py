"""Caches of the hubs' own programs, used in place and without a request: Hugging Face's filled by its real client."""

import asyncio
import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from moorage.errors import ModelError
from moorage.models.hubs.caches import is_half
from moorage.models.manifest import folder_checksum
from moorage.models.store import ModelStore
from tests.integration.models.hubserver import HubServer, commit_of
from tests.integration.models.repositories import ENCODER, FOLDER, GGUFS

pytestmark = pytest.mark.usefixtures("hub")

PIN = folder_checksum({name: hashlib.sha256(ENCODER[name]).hexdigest() for name in FOLDER})


async def huggingface(tmp_path: Path, call: str) -> None:
    """Run a function of the real client, which goes to the same hub and into the same cache."""
    program = f"from huggingface_hub import hf_hub_download, snapshot_download; {call}"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program),
        env={**os.environ, "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1", "HOME": str(tmp_path)},
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()


def offline(hub: HubServer, settings: pytest.MonkeyPatch) -> None:
    settings.setenv("HF_HUB_OFFLINE", "1")
    hub.hub.seen.clear()


async def test_what_the_real_client_fetched_is_used_in_place(
    store: ModelStore, hub: HubServer, tmp_path: Path, no_hub_settings: pytest.MonkeyPatch
) -> None:
    await huggingface(tmp_path, "snapshot_download('Org/encoder'); hf_hub_download('Org/Tiny-GGUF', 'tiny-Q8_0.gguf')")
    offline(hub, no_hub_settings)
    snapshot = tmp_path / "hf" / "hub" / "models--Org--encoder" / "snapshots" / commit_of(ENCODER)
    commit = commit_of(ENCODER)
    for source in ("Org/encoder", "hf:Org/encoder@main", f"hf:Org/encoder@{commit}"):
        assert await store.fetch(source) == snapshot
    assert await store.fetch("hf:Org/encoder", PIN) == snapshot
    assert await store.fetch("hf:Org/encoder:int8") == snapshot / "onnx" / "model_int8.onnx"
    assert (await store.fetch("Org/Tiny-GGUF")).name == "tiny-Q8_0.gguf"
    assert (await store.fetch("Org/Tiny-GGUF:q8_0")).read_bytes() == GGUFS["tiny-Q8_0.gguf"]
    assert hub.hub.seen == []
    assert not (tmp_path / "cache").exists(), "nothing is copied"
    for source in ("Org/Tiny-GGUF:Q4_K_M", "hf:Org/encoder@v2", "hf:Org/encoder:model.safetensors", "hf:Org/other"):
        with pytest.raises(ModelError, match="HF_HUB_OFFLINE=1 forbids to ask Hugging Face"):
            await store.fetch(source)
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE=1"):
        await store.fetch("hf:Org/encoder", "0" * 64)
    assert hub.hub.seen == []


@pytest.mark.parametrize("variable", ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME"])
async def test_wherever_the_cache_is(
    store: ModelStore, hub: HubServer, tmp_path: Path, no_hub_settings: pytest.MonkeyPatch, variable: str
) -> None:
    place = tmp_path / "else where 模型"
    no_hub_settings.setenv(variable, str(place))
    await huggingface(tmp_path, "snapshot_download('Org/encoder')")
    offline(hub, no_hub_settings)
    assert (await store.fetch("Org/encoder")).is_relative_to(place)


def _blob(snapshot: Path, name: str) -> Path:
    return (snapshot / name).resolve()


def _half(snapshot: Path) -> None:
    blob = _blob(snapshot, "model.safetensors")
    blob.rename(blob.with_name(f"{blob.name}.1234abcd.incomplete"))


def _lose(name: str) -> Callable[[Path], None]:
    def lose(snapshot: Path) -> None:
        (snapshot / name).unlink()

    return lose


@pytest.mark.parametrize(
    "harm",
    [_half, _lose("config.json"), _lose("tokenizer.json"), _lose("1_Pooling/config.json"), _lose("model.safetensors")],
    ids=["under way", "no config", "no tokenizer", "no pooling", "no weights"],
)
async def test_what_is_not_whole_is_not_used(
    store: ModelStore, hub: HubServer, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    await huggingface(tmp_path, f"snapshot_download('Org/encoder', allow_patterns={list(FOLDER)})")
    snapshot = tmp_path / "hf" / "hub" / "models--Org--encoder" / "snapshots" / commit_of(ENCODER)
    assert await store.fetch("Org/encoder") == snapshot
    harm(snapshot)
    path = await store.fetch("Org/encoder")
    assert path.is_relative_to(tmp_path / "cache")
    assert {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()} == set(FOLDER)


async def test_a_remainder_of_a_download_that_was_repeated_is_no_sign(store: ModelStore, tmp_path: Path) -> None:
    await huggingface(tmp_path, "snapshot_download('Org/encoder')")
    snapshot = tmp_path / "hf" / "hub" / "models--Org--encoder" / "snapshots" / commit_of(ENCODER)
    blob = _blob(snapshot, "model.safetensors")
    blob.with_name(f"{blob.name}.1234abcd.incomplete").write_bytes(b"some")
    assert await store.fetch("Org/encoder") == snapshot


async def test_a_folder_the_real_client_filled(store: ModelStore, tmp_path: Path) -> None:
    folder = tmp_path / "my models" / "encoder"
    await huggingface(tmp_path, f"snapshot_download('Org/encoder', local_dir={str(folder)!r})")
    assert await store.fetch(str(folder)) == folder
    assert not is_half(folder)


async def test_a_folder_made_by_hand_in_the_cache(
    store: ModelStore, hub: HubServer, tmp_path: Path, no_hub_settings: pytest.MonkeyPatch
) -> None:
    by_hand = tmp_path / "hf" / "hub" / "Org" / "encoder"
    fill(by_hand)
    offline(hub, no_hub_settings)
    assert await store.fetch("Org/encoder") == by_hand
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE"):
        await store.fetch("Org/encoder@v1")


def fill(folder: Path) -> None:
    for name in FOLDER:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(ENCODER[name])


@pytest.mark.parametrize(
    "layout",
    [
        "models/Org--tiny-1.5/snapshots/master",
        "hub/models/Org--tiny-1.5/snapshots/master",
        "models/Org/tiny-1___5",
        "hub/models/Org/tiny-1___5",
        "models/Org/tiny-1.5",
        "Org/tiny-1___5",
        "hub/Org/tiny-1.5",
    ],
)
async def test_modelscopes_layouts(store: ModelStore, hub: HubServer, tmp_path: Path, layout: str) -> None:
    folder = tmp_path / "ms" / layout
    fill(folder)
    assert await store.fetch("ms:Org/tiny-1.5") == folder
    assert await store.fetch("ms:Org/tiny-1.5", PIN) == folder
    assert hub.hub.seen == []
    shutil.rmtree(folder)
    with pytest.raises(ModelError, match=r"there is no 'Org/tiny-1\.5'"):
        await store.fetch("ms:Org/tiny-1.5")


async def test_modelscopes_revisions(store: ModelStore, hub: HubServer, tmp_path: Path) -> None:
    old = tmp_path / "ms" / "models" / "Org" / "encoder"
    fill(old)
    (old / ".mv").write_text("Revision:v1.0,CreatedAt:1700000000")
    new = tmp_path / "ms" / "models" / "Org--encoder" / "snapshots" / "v2.0"
    fill(new)
    assert await store.fetch("ms:Org/encoder@v1.0") == old
    assert await store.fetch("ms:Org/encoder@v2.0") == new
    with pytest.raises(ModelError, match=r"no files at revision 'v3\.0'"):
        await store.fetch("ms:Org/encoder@v3.0")


async def test_modelscopes_half_downloads_are_not_used(store: ModelStore, hub: HubServer, tmp_path: Path) -> None:
    folder = tmp_path / "ms" / "models" / "Org--encoder" / "snapshots" / "master"
    fill(folder)
    (folder / "model-00002-of-00002.safetensors.incomplete").write_bytes(b"some")
    assert (await store.fetch("ms:Org/encoder")).is_relative_to(tmp_path / "cache")


async def test_what_the_store_has_comes_first(
    store: ModelStore, hub: HubServer, tmp_path: Path, no_hub_settings: pytest.MonkeyPatch
) -> None:
    path = await store.fetch("hf:Org/encoder")
    await huggingface(tmp_path, "snapshot_download('Org/encoder')")
    offline(hub, no_hub_settings)
    assert await store.fetch("hf:Org/encoder") == path
    assert hub.hub.seen == []


async def test_a_cache_that_cannot_be_read_is_none(
    store: ModelStore, tmp_path: Path, no_hub_settings: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("no folder")
    no_hub_settings.setenv("HF_HUB_CACHE", str(file))
    assert (await store.fetch("hf:Org/encoder")).is_relative_to(tmp_path / "cache")
