"""Repositories of both hubs into the store: what is chosen, at which commit, and what is not there."""

import asyncio
import hashlib
import json
import logging
from pathlib import Path

import pytest

from moorage.errors import ModelError
from moorage.models.manifest import folder_checksum
from moorage.models.store import ModelStore
from moorage.wire.control import Progress
from tests.integration.models.fileserver import Plan
from tests.integration.models.hubserver import HubServer, commit_of
from tests.integration.models.repositories import ENCODER, FOLDER, GGUFS, MIB, contents, noise, stored

pytestmark = pytest.mark.usefixtures("hub")


@pytest.mark.parametrize("prefix", ["", "hf:", "ms:"])
async def test_the_best_gguf_of_many_is_chosen_and_said(
    store: ModelStore, hub: HubServer, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    told: list[Progress] = []
    path = await store.fetch(f"{prefix}Org/Tiny-GGUF", on_progress=told.append)
    content = GGUFS["tiny-Q4_K_M.gguf"]
    assert path.name == "tiny-Q4_K_M.gguf"
    assert path.read_bytes() == content
    assert told[-1] == Progress(what="downloading", done=len(content), total=len(content))
    assert contents(path.parent) == {"tiny-Q4_K_M.gguf": content}
    assert sorted(file.name for file in path.parents[1].iterdir()) == ["Tiny-GGUF", "manifest.json"]
    (entry,) = store.list()
    assert entry.revision == commit_of(GGUFS)
    assert entry.source == f"{'ms' if prefix == 'ms:' else 'hf'}:Org/Tiny-GGUF"
    assert entry.sha256 == hashlib.sha256(content).hexdigest()
    assert entry.why.startswith("tiny-Q4_K_M.gguf: Q4_K_M, the usual balance of size and quality; also there: Q8_0, ")
    assert entry.why in caplog.text
    requests = len(hub.hub.seen)
    assert await store.fetch(f"{prefix}Org/Tiny-GGUF", entry.sha256) == path
    assert len(hub.hub.seen) == requests, "what is here needs no hub"


@pytest.mark.parametrize("hub_name", ["hf", "ms"])
@pytest.mark.parametrize(
    "selector", ["F16", "f16", "big", "big/big-F16-00001-of-00003.gguf", "big-F16-00002-of-00003.gguf"]
)
async def test_all_parts_of_a_model_come_and_the_first_is_handed_out(
    store: ModelStore, hub_name: str, selector: str
) -> None:
    path = await store.fetch(f"{hub_name}:Org/Tiny-GGUF:{selector}")
    assert path.name == "big-F16-00001-of-00003.gguf"
    wanted = {name: content for name, content in GGUFS.items() if name.startswith("big/")}
    assert contents(path.parents[1]) == wanted
    (entry,) = store.list()
    assert entry.files == 3
    assert entry.sha256 == folder_checksum({name: hashlib.sha256(each).hexdigest() for name, each in wanted.items()})


@pytest.mark.parametrize("hub_name", ["hf", "ms"])
async def test_a_folder_without_copies_in_other_formats(store: ModelStore, hub: HubServer, hub_name: str) -> None:
    path = await store.fetch(f"{hub_name}:Org/encoder")
    assert path.name == "encoder"
    assert contents(path) == {name: ENCODER[name] for name in FOLDER}
    (check,) = await store.verify()
    assert check.problem == ""


@pytest.mark.parametrize(
    ("selector", "opens", "has"),
    [
        ("onnx", "onnx/model.onnx", "onnx/model.onnx"),
        ("int8", "onnx/model_int8.onnx", "onnx/model_int8.onnx"),
        ("onnx/model_int8.onnx", "onnx/model_int8.onnx", "onnx/model_int8.onnx"),
        ("openvino", "openvino/openvino_model.xml", "openvino/openvino_model.bin"),
        ("pytorch_model.bin", "", "pytorch_model.bin"),
    ],
)
async def test_another_format_when_selected(store: ModelStore, selector: str, opens: str, has: str) -> None:
    path = await store.fetch(f"Org/encoder:{selector}")
    root = next(parent for parent in (path, *path.parents) if parent.name == "encoder")
    assert path == root / opens
    found = contents(root)
    assert found[has] == ENCODER[has]
    assert "tokenizer.json" in found
    assert "model.safetensors" not in found


async def test_the_index_names_the_shards(store: ModelStore, hub: HubServer) -> None:
    index = {"metadata": {}, "weight_map": {"a": "part-a.safetensors", "b": "part-b.safetensors"}}
    files = {
        "config.json": b"{}",
        "model.safetensors.index.json": json.dumps(index).encode(),
        "part-a.safetensors": noise(20, 2000),
        "part-b.safetensors": noise(21, 2000),
        "consolidated.safetensors": noise(22, 4000),
    }
    hub.add("Org/sharded", files)
    found = contents(await store.fetch("Org/sharded"))
    assert found == {name: content for name, content in files.items() if not name.startswith("consolidated")}
    hub.add("Org/broken", {name: content for name, content in files.items() if name != "part-b.safetensors"})
    with pytest.raises(ModelError, match=r"Org/broken: the repository lacks part-b\.safetensors"):
        await store.fetch("Org/broken")


@pytest.mark.parametrize("hub_name", ["hf", "ms"])
async def test_revisions(store: ModelStore, hub: HubServer, hub_name: str) -> None:
    old = {"config.json": b"{}", "model.safetensors": b"old weights"}
    hub.repos["Org/encoder"].revisions["v1.0/beta"] = old
    path = await store.fetch(f"{hub_name}:Org/encoder@v1.0/beta")
    assert contents(path) == old
    (entry,) = store.list()
    assert entry.revision == commit_of(old)
    pinned = await store.fetch(f"{hub_name}:Org/encoder@{commit_of(old)}:model.safetensors")
    assert contents(pinned) == old
    with pytest.raises(ModelError, match="revision"):
        await store.fetch(f"{hub_name}:Org/encoder@v2.0")


async def test_a_branch_that_moves_while_it_is_fetched_gives_the_files_of_one_commit(
    store: ModelStore, hub: HubServer
) -> None:
    before = {"config.json": b"{}", "model.safetensors": noise(30, 2 * MIB)}
    repo = hub.add("Org/moving", before)
    repo.revisions["kept"] = before
    hub.cdn.files[hub.cdn_path(before["model.safetensors"])] = before["model.safetensors"]
    hub.cdn.plan = Plan(pause_s=0.01)
    task = asyncio.create_task(store.fetch("Org/moving"))
    async with asyncio.timeout(10):
        while not hub.cdn.sent:
            await asyncio.sleep(0.01)
    repo.revisions["main"] = {"config.json": b'{"new": 1}', "model.safetensors": noise(31, 2000)}
    assert contents(await task) == before


async def test_a_mirror_with_a_path_that_knows_no_blobs_is_read_page_by_page(
    store: ModelStore, hub: HubServer, no_hub_settings: pytest.MonkeyPatch
) -> None:
    hub.prefix, hub.blobs, hub.tree_page = "/artifacts/hf", False, 4
    no_hub_settings.setenv("HF_ENDPOINT", hub.url + "/")
    assert contents(await store.fetch("Org/encoder")) == {name: ENCODER[name] for name in FOLDER}
    assert len(hub.asked("/tree/")) == 4
    assert all(path.startswith("/artifacts/hf/") for path in hub.asked())


async def test_a_mirror_that_tells_names_only(store: ModelStore, hub: HubServer) -> None:
    hub.blobs, hub.tree_page = False, 0
    told: list[Progress] = []
    assert contents(await store.fetch("Org/encoder", on_progress=told.append)) == {n: ENCODER[n] for n in FOLDER}
    assert told[-1].total is None


@pytest.mark.parametrize("hub_name", ["hf", "ms"])
async def test_an_unknown_id_is_answered_with_the_nearest(store: ModelStore, hub: HubServer, hub_name: str) -> None:
    hub.add("other/unlike", ENCODER)
    with pytest.raises(ModelError, match=r"there is no 'Org/tiny-gguff' at .*; the nearest it has: Org/Tiny-GGUF"):
        await store.fetch(f"{hub_name}:Org/tiny-gguff")


async def test_a_bare_name_that_is_nowhere_says_both_readings(
    store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError) as caught:
        await store.fetch("nobody/nothing")
    assert "there is no 'nobody/nothing' at http" in str(caught.value)
    assert f"Nor is there a file or folder '{tmp_path}/nobody/nothing'" in str(caught.value)


async def test_a_path_of_that_name_wins(
    store: ModelStore, hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "Org" / "encoder"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert await store.fetch("Org/encoder") == folder
    assert hub.hub.seen == []
    assert await store.fetch("hf:Org/encoder") != folder


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("Org/Tiny-GGUF:Q5_K_M", "has no 'Q5_K_M'; did you mean Q4_K_M"),
        ("Org/Tiny-GGUF:nothing.gguf", "has no 'nothing.gguf'"),
        ("Org/encoder:fp16", "has no 'fp16'"),
        ("hf:Org/pictures", r"no model at its root; it has README.md, a.png"),
        ("hf:Org/nested", "name one of its folders: text_encoder"),
        ("hf:Org/several", r"several models in Q4_K_M: a-Q4_K_M.gguf, b-Q4_K_M.gguf; name one file"),
        ("hf:Org/parts", "has only 1 of the 2 parts"),
    ],
)
async def test_what_cannot_be_chosen(store: ModelStore, hub: HubServer, tmp_path: Path, source: str, says: str) -> None:
    hub.add("Org/pictures", {"README.md": b"#", "a.png": b"x"})
    hub.add("Org/nested", {"model_index.json": b"{}", "text_encoder/model.safetensors": b"x"})
    hub.add("Org/several", {"a-Q4_K_M.gguf": b"a", "b-Q4_K_M.gguf": b"b"})
    hub.add("Org/parts", {"a-Q4_K_M-00001-of-00002.gguf": b"a"})
    with pytest.raises(ModelError, match=says):
        await store.fetch(source)
    assert stored(tmp_path / "cache") == []


async def test_names_that_lead_elsewhere_are_left_out(store: ModelStore, hub: HubServer, tmp_path: Path) -> None:
    evil = {"config.json": b"{}", "model.safetensors": b"weights", "../../../escape.json": b"x", "/abs.json": b"x"}
    hub.add("Org/evil", evil)
    path = await store.fetch("Org/evil")
    assert sorted(contents(path)) == ["config.json", "model.safetensors"]
    assert not [path for path in contents(tmp_path) if path.endswith("escape.json")]
