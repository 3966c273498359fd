"""Repositories of both hubs into the store, against a server that speaks as they do and fails in every way."""

import asyncio
import hashlib
import json
import logging
import os
import random
import signal
import sys
from pathlib import Path

import pytest

from moorage.errors import ModelError
from moorage.models.attempts import UNREACHABLE, Patience
from moorage.models.manifest import folder_checksum
from moorage.models.store import ModelStore
from moorage.wire.control import Progress
from tests.integration.models.fileserver import FileServer, Plan
from tests.integration.models.hubserver import HubServer, commit_of

MIB = 1024 * 1024
QUICK = Patience(connect_s=2, stall_s=1.0, attempts=3, backoff_s=0.01, max_wait_s=2)


def noise(seed: int, size_bytes: int) -> bytes:
    return random.Random(seed).randbytes(size_bytes)


GGUFS = {
    "README.md": b"# models",
    "tiny-Q2_K.gguf": noise(1, 2000),
    "tiny-Q4_K_M.gguf": noise(2, 3 * MIB),
    "tiny-Q8_0.gguf": noise(3, 3000),
    "mmproj-F16.gguf": noise(4, 2000),
    "big/big-F16-00001-of-00003.gguf": noise(5, 5000),
    "big/big-F16-00002-of-00003.gguf": noise(6, 4000),
    "big/big-F16-00003-of-00003.gguf": noise(7, 3000),
}
ENCODER = {
    ".gitattributes": b"*.safetensors filter=lfs",
    "README.md": b"# encoder",
    "config.json": b'{"model_type": "bert"}',
    "tokenizer.json": noise(10, 3000),
    "modules.json": b"[]",
    "1_Pooling/config.json": b'{"pooling_mode_mean_tokens": true}',
    "2_Dense/config.json": b"{}",
    "2_Dense/model.safetensors": noise(11, 2000),
    "2_Dense/pytorch_model.bin": noise(11, 2000),
    "model.safetensors": noise(12, 3 * MIB + 5),
    "pytorch_model.bin": noise(13, 4000),
    "onnx/model.onnx": noise(14, 2000),
    "onnx/model_int8.onnx": noise(15, 1500),
    "openvino/openvino_model.xml": b"<xml/>",
    "openvino/openvino_model.bin": noise(16, 2000),
}
FOLDER = ("README.md", "config.json", "tokenizer.json", "modules.json", "1_Pooling/config.json", "2_Dense/config.json",
          "2_Dense/model.safetensors", "model.safetensors")  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "cache", patience=QUICK)


@pytest.fixture(autouse=True)
def repositories(hub: HubServer) -> None:
    hub.add("Org/Tiny-GGUF", GGUFS)
    hub.add("Org/encoder", ENCODER)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def stored(cache: Path) -> list[str]:
    return [path.name for path in (cache / "models").iterdir()]


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


# Tokens


@pytest.mark.parametrize("how", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HOME"])
async def test_the_token_opens_the_hub_and_goes_nowhere_else(
    store: ModelStore, hub: HubServer, no_hub_settings: pytest.MonkeyPatch, tmp_path: Path, how: str
) -> None:
    hub.add("Org/secret", ENCODER, private=True)
    if how in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        no_hub_settings.setenv(how, hub.token)
    else:
        path = tmp_path / "hf" / "token" if how == "HF_HOME" else tmp_path / "my token"
        path.parent.mkdir(exist_ok=True)
        path.write_text(hub.token + "\n")
        if how == "HF_TOKEN_PATH":
            no_hub_settings.setenv(how, str(path))
    path = await store.fetch("hf:Org/secret")
    assert contents(path) == {name: ENCODER[name] for name in FOLDER}
    assert {seen.headers.get("authorization") for seen in hub.hub.seen} == {f"Bearer {hub.token}"}
    assert hub.cdn.seen
    for seen in hub.cdn.seen:
        assert hub.token not in str(seen.headers)
    kept = b"".join(file.read_bytes() for file in path.parent.glob("*.json"))
    assert hub.token.encode() not in kept
    assert b"s3cret" not in kept


async def test_modelscopes_token(store: ModelStore, hub: HubServer, no_hub_settings: pytest.MonkeyPatch) -> None:
    hub.add("Org/secret", ENCODER, private=True)
    with pytest.raises(ModelError, match="set MODELSCOPE_API_TOKEN"):
        await store.fetch("ms:Org/secret")
    no_hub_settings.setenv("MODELSCOPE_API_TOKEN", hub.token)
    await store.fetch("ms:Org/secret")
    assert hub.hub.seen[-1].headers["cookie"] == f"m_session_id={hub.token}"
    assert all(hub.token not in str(seen.headers) for seen in hub.cdn.seen)


async def test_a_token_beside_a_login_in_netrc(
    store: ModelStore, hub: HubServer, no_hub_settings: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password other\n")
    no_hub_settings.setenv("NETRC", str(netrc))
    no_hub_settings.setenv("HF_TOKEN", hub.token)
    hub.add("Org/secret", GGUFS, private=True)
    assert (await store.fetch("hf:Org/secret")).read_bytes() == GGUFS["tiny-Q4_K_M.gguf"]


async def test_a_gated_model_says_where_to_accept_and_what_to_set(
    store: ModelStore, hub: HubServer, no_hub_settings: pytest.MonkeyPatch
) -> None:
    hub.add("Org/gated", GGUFS, gated=True)
    with pytest.raises(ModelError) as caught:
        await store.fetch("hf:Org/gated")
    assert f"accept its licence: do so at {hub.url}/Org/gated; then set HF_TOKEN" in str(caught.value)
    assert caught.value.error_code == UNREACHABLE
    with pytest.raises(ModelError, match=r"ask for it at .*/models/Org/gated and set MODELSCOPE_API_TOKEN"):
        await store.fetch("ms:Org/gated")
    no_hub_settings.setenv("HF_TOKEN", hub.token)
    assert (await store.fetch("hf:Org/gated")).exists()


@pytest.mark.parametrize(
    ("variable", "source"), [("HF_TOKEN", "hf:Org/encoder"), ("MODELSCOPE_API_TOKEN", "ms:Org/encoder")]
)
async def test_a_token_that_is_refused_is_named_but_not_shown(
    store: ModelStore,
    no_hub_settings: pytest.MonkeyPatch,
    variable: str,
    source: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    no_hub_settings.setenv(variable, "hf_wrongtoken")
    with pytest.raises(ModelError, match=f"does not accept the token in {variable}") as caught:
        await store.fetch(source)
    assert "hf_wrongtoken" not in str(caught.value)
    assert "hf_wrongtoken" not in caplog.text


async def test_a_login_in_the_mirrors_address_is_not_shown(
    store: ModelStore, hub: HubServer, no_hub_settings: pytest.MonkeyPatch
) -> None:
    address = hub.url.replace("//", "//me:hunter2@")
    no_hub_settings.setenv("HF_ENDPOINT", address)
    no_hub_settings.setenv("MODELSCOPE_ENDPOINT", address)
    for source in ("hf:Org/nothing", "ms:Org/nothing", "hf:Org/encoder@v9", "ms:Org/encoder@v9"):
        with pytest.raises(ModelError) as caught:
            await store.fetch(source)
        assert "hunter2" not in str(caught.value)
    assert hub.hub.seen[-1].headers["authorization"].startswith("Basic ")


async def test_what_a_hub_says_is_told_without_the_token(
    store: ModelStore, hub: HubServer, no_hub_settings: pytest.MonkeyPatch
) -> None:
    no_hub_settings.setenv("HF_TOKEN", "hf_mine")
    said = {"X-Error-Message": "Access to this resource is disabled for hf_mine."}
    hub.hub.faults["/api/models/Org/encoder/revision/main"] = [Plan(status=403, headers=said)]
    with pytest.raises(ModelError, match=r"refuses Org/encoder: Access to this resource is disabled for …\."):
        await store.fetch("hf:Org/encoder")


async def test_a_token_with_a_newline_in_it(store: ModelStore, no_hub_settings: pytest.MonkeyPatch) -> None:
    no_hub_settings.setenv("HF_TOKEN", "hf_a\r\nX-Other: b")
    with pytest.raises(ModelError, match="the token in HF_TOKEN cannot be one") as caught:
        await store.fetch("hf:Org/encoder")
    assert "hf_a" not in str(caught.value)


# What is not there


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


# Faults


async def test_a_full_disk_is_told_before_anything_comes(hub: HubServer, small_disk: Path) -> None:
    hub.add("Org/large", {"config.json": b"{}", "model.safetensors": noise(50, 6 * MIB)})
    with pytest.raises(ModelError, match=r"disk full: 2\.. MB are missing"):
        await ModelStore(small_disk, patience=QUICK).fetch("hf:Org/large")
    assert hub.cdn.seen == []
    assert stored(small_disk) == []


async def test_a_disk_that_fills_meanwhile_keeps_what_is_whole(hub: HubServer, small_disk: Path) -> None:
    files = {"config.json": b"{}", "model.safetensors": noise(51, 3 * MIB)}
    hub.add("Org/large", files)
    hub.cdn.plan = Plan(pause_s=0.01)
    task = asyncio.create_task(ModelStore(small_disk, patience=QUICK).fetch("hf:Org/large"))
    await until_sent(hub.cdn, 64 * 1024)
    (small_disk / "other").write_bytes(bytes(2 * MIB))
    with pytest.raises(ModelError, match="disk full"):
        await task
    (small_disk / "other").unlink()
    assert contents(await ModelStore(small_disk, patience=QUICK).fetch("hf:Org/large")) == files


async def test_a_signed_address_is_taken_letter_by_letter(store: ModelStore, hub: HubServer) -> None:
    weights = GGUFS["tiny-Q8_0.gguf"]
    signed = "/lfs/%7Ea%2Bb/x?Policy=a%27b%2A&Signature=~x-%7E%2F__&filename*=UTF-8%27%27m%3B+n%22"
    hub.cdn.files["/lfs/%7Ea%2Bb/x"] = weights
    place = f"/Org/Tiny-GGUF/resolve/{commit_of(GGUFS)}/tiny-Q8_0.gguf"
    hub.hub.faults[place] = [Plan(status=302, headers={"Location": hub.cdn.url(signed)})]
    await store.fetch("hf:Org/Tiny-GGUF:Q8_0")
    (seen,) = hub.cdn.seen
    assert f"{seen.path}?{seen.query}" == signed


async def test_a_repository_called_like_a_file_of_the_store(store: ModelStore, hub: HubServer) -> None:
    for name in ("files.part", "manifest.json", "download.part"):
        hub.add(f"Org/{name}", {"m.gguf": b"weights"})
        path = await store.fetch(f"hf:Org/{name}")
        assert path.read_bytes() == b"weights"
        assert await store.fetch(f"hf:Org/{name}") == path


@pytest.mark.parametrize("status", [429, 500, 502, 503])
@pytest.mark.parametrize("hub_name", ["hf", "ms"])
async def test_passing_troubles_of_hub_and_store(store: ModelStore, hub: HubServer, status: int, hub_name: str) -> None:
    listing = {
        "hf": "/api/models/Org/Tiny-GGUF/revision/main",
        "ms": "/api/v1/models/Org/Tiny-GGUF/repo/files",
    }[hub_name]
    hub.hub.faults[listing] = [Plan(status=status)] * 2
    hub.cdn.plans = [Plan(status=status), Plan(cut_after=2 * MIB)]
    path = await store.fetch(f"{hub_name}:Org/Tiny-GGUF")
    assert path.read_bytes() == GGUFS["tiny-Q4_K_M.gguf"]
    assert hub.cdn.sent == len(GGUFS["tiny-Q4_K_M.gguf"]), "no byte came twice"


async def test_retry_after_is_heeded_and_bounded(store: ModelStore, hub: HubServer) -> None:
    listing = "/api/models/Org/encoder/revision/main"
    hub.hub.faults[listing] = [Plan(status=429, headers={"Retry-After": "1"})]
    started = asyncio.get_running_loop().time()
    await store.fetch("hf:Org/encoder")
    assert asyncio.get_running_loop().time() - started >= 1
    hub.hub.faults["/api/models/Org/Tiny-GGUF/revision/main"] = [Plan(status=429, headers={"Retry-After": "3600"})]
    with pytest.raises(ModelError, match="come back in 3600 s") as caught:
        await store.fetch("hf:Org/Tiny-GGUF")
    assert caught.value.error_code == UNREACHABLE


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        (Plan(status=503), r"answers 503.*tried 3 times"),
        (Plan(stall_after=0), "silent for 1 s"),
        (Plan(cut_after=10), "connection broke"),
        (Plan(status=302, headers={"Location": "/api/models/Org/encoder/revision/main"}), "redirects more than"),
        (Plan(status=302, headers={"Location": "file:///etc/passwd"}), "is not fetched from"),
        (Plan(lie_bytes=500), "connection broke"),
    ],
    ids=["503", "stall", "reset", "endless redirects", "redirect to a file", "wrong length"],
)
async def test_a_hub_that_does_not_come_right(
    store: ModelStore, hub: HubServer, tmp_path: Path, plan: Plan, says: str
) -> None:
    path = "/api/models/Org/encoder/revision/main"
    hub.hub.files[path] = b'{"siblings": []' + b" " * 2000
    hub.hub.faults[path] = [plan] * 20
    with pytest.raises(ModelError, match=says):
        await store.fetch("hf:Org/encoder")
    assert stored(tmp_path / "cache") == []


@pytest.mark.parametrize("body", [b"<!DOCTYPE html><p>Log in", b"[]", b'{"siblings": 1}', b"\xff\xfe", b""])
async def test_a_hub_that_answers_something_else(store: ModelStore, hub: HubServer, body: bytes) -> None:
    hub.hub.files["/api/models/Org/encoder/revision/main"] = body
    with pytest.raises(ModelError, match="does not answer as a model hub does"):
        await store.fetch("hf:Org/encoder")


async def test_no_hub_at_all(store: ModelStore, no_hub_settings: pytest.MonkeyPatch) -> None:
    no_hub_settings.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match="no connection") as caught:
        await store.fetch("Org/encoder")
    assert caught.value.error_code == UNREACHABLE
    assert "Nor is there a file or folder" in str(caught.value)


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json"], ids=["by sha256", "by git's checksum"])
async def test_a_file_other_than_listed_is_not_kept(
    store: ModelStore, hub: HubServer, tmp_path: Path, name: str
) -> None:
    hub.repos["Org/encoder"].lists[name] = ENCODER[name][::-1]
    with pytest.raises(ModelError, match="checksum"):
        await store.fetch("hf:Org/encoder")
    assert not [path for path in contents(tmp_path) if path.rpartition("/")[2].startswith(name)]
    del hub.repos["Org/encoder"].lists[name]
    assert contents(await store.fetch("hf:Org/encoder")) == {each: ENCODER[each] for each in FOLDER}


async def test_a_pin_is_checked_before_a_single_file_and_after_a_folder(
    store: ModelStore, hub: HubServer, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="nothing was fetched"):
        await store.fetch("hf:Org/Tiny-GGUF", "0" * 64)
    assert hub.cdn.seen == []
    with pytest.raises(ModelError, match="another checksum than expected"):
        await store.fetch("hf:Org/encoder", "0" * 64)
    assert stored(tmp_path / "cache") == []


async def test_a_failed_file_leaves_the_others_and_its_part(store: ModelStore, hub: HubServer, tmp_path: Path) -> None:
    weights = ENCODER["model.safetensors"]
    place = hub.cdn_path(weights)
    hub.cdn.faults[place] = [Plan(cut_after=2 * MIB), *[Plan(cut_after=0)] * 9]
    with pytest.raises(ModelError, match="what is here is kept"):
        await store.fetch("hf:Org/encoder")
    (entry,) = store.list()
    assert (entry.complete, entry.source) == (False, "hf:Org/encoder")
    assert entry.size_bytes >= 2 * MIB
    (check,) = await store.verify()
    assert "half-fetched" in check.problem
    hub.cdn.faults.clear()
    assert contents(await store.fetch("hf:Org/encoder")) == {name: ENCODER[name] for name in FOLDER}
    assert sum(seen.sent for seen in hub.fetched(place)) == len(weights), "no byte came twice"
    await store.remove("encoder")
    assert stored(tmp_path / "cache") == []


FETCH = """
import asyncio, sys
from pathlib import Path
from moorage.models.store import ModelStore
print(asyncio.run(ModelStore(Path(sys.argv[1])).fetch(sys.argv[2])))
"""


async def fetching(cache: Path, source: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", FETCH, str(cache), source, stdout=asyncio.subprocess.PIPE
    )


async def until_sent(server: FileServer, size_bytes: int) -> None:
    async with asyncio.timeout(20):
        while server.sent < size_bytes:
            await asyncio.sleep(0.01)


async def test_a_killed_fetch_goes_on_at_the_byte(hub: HubServer, tmp_path: Path) -> None:
    weights = ENCODER["model.safetensors"]
    hub.cdn.faults[hub.cdn_path(weights)] = [Plan(stall_after=2 * MIB)]
    killed = await fetching(tmp_path / "cache", "hf:Org/encoder")
    await until_sent(hub.cdn, 2 * MIB + 5000)
    await asyncio.sleep(0.3)
    killed.send_signal(signal.SIGKILL)
    await killed.communicate()
    before = {seen.path for seen in hub.hub.seen if "/resolve/" in seen.path}
    requests = len(hub.hub.seen)
    path = await ModelStore(tmp_path / "cache").fetch("hf:Org/encoder")
    assert contents(path) == {name: ENCODER[name] for name in FOLDER}
    again = [seen.path for seen in hub.hub.seen[requests:] if "/resolve/" in seen.path]
    assert len(before) == len(FOLDER)
    assert [each.rpartition("/")[2] for each in again] == ["model.safetensors"], "whole files stay"
    (resumed,) = [seen for seen in hub.fetched(hub.cdn_path(weights)) if "range" in seen.headers]
    kept = len(weights) - resumed.sent
    assert MIB <= kept <= 2 * MIB, "all but the last unwritten block is gone on from"
    assert sorted(file.name for file in path.parent.iterdir()) == ["encoder", "manifest.json"]


async def test_two_pulls_are_one_download(hub: HubServer, tmp_path: Path) -> None:
    hub.cdn.plan = Plan(pause_s=0.005)
    processes = [await fetching(tmp_path / "cache", "Org/encoder") for _ in range(2)]
    await until_sent(hub.cdn, MIB)
    told: list[Progress] = []
    path = await ModelStore(tmp_path / "cache").fetch("hf:Org/encoder", on_progress=told.append)
    outputs = [(await process.communicate())[0].decode().strip() for process in processes]
    assert outputs == [str(path)] * 2
    assert len(hub.asked("/revision/")) == 1
    assert len(hub.fetched(hub.cdn_path(ENCODER["model.safetensors"]))) == 1
    assert told, "who waits sees how far the other is"
    assert told[-1].total == sum(len(ENCODER[name]) for name in FOLDER)


async def test_an_altered_file_is_fetched_again_and_only_that(store: ModelStore, hub: HubServer) -> None:
    path = await store.fetch("hf:Org/encoder")
    os.truncate(path / "tokenizer.json", 10)
    os.utime(path / "model.safetensors", (1, 1))
    (check,) = await store.verify(["encoder"])
    assert check.problem == f"tokenizer.json has 10 bytes instead of {len(ENCODER['tokenizer.json'])}"
    requests, fetched = len(hub.hub.seen), len(hub.cdn.seen)
    assert await store.fetch("hf:Org/encoder") == path
    assert contents(path) == {name: ENCODER[name] for name in FOLDER}
    assert len(hub.cdn.seen) == fetched + 1
    assert len(hub.hub.seen) == requests + 2
    assert (await store.verify())[0].problem == ""


async def test_a_cancelled_fetch_closes_its_connections(hub: HubServer, tmp_path: Path) -> None:
    hub.cdn.plan = Plan(stall_after=1000)
    task = asyncio.create_task(ModelStore(tmp_path / "cache").fetch("hf:Org/encoder"))
    await until_sent(hub.cdn, 3000)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(1):
        for seen in hub.cdn.seen:
            await seen.left.wait()


async def test_a_slow_hub_is_no_stalled_one(store: ModelStore, hub: HubServer) -> None:
    small = {"config.json": b"{}", "model.safetensors": noise(40, 2000)}
    hub.add("Org/slow", small)
    hub.cdn.plan = Plan(piece=100, pause_s=0.06)
    assert contents(await store.fetch("Org/slow")) == small


async def test_a_proxy_of_the_environment_is_used(
    store: ModelStore, server: FileServer, no_hub_settings: pytest.MonkeyPatch
) -> None:
    small = {"config.json": b"{}", "model.safetensors": b"weights"}
    siblings = [{"rfilename": name, "size": len(content)} for name, content in small.items()]
    base = "http://hub.invalid/api/models/Org/far/revision/main"
    server.files[base] = json.dumps({"sha": "a" * 40, "siblings": siblings}).encode()
    for name, content in small.items():
        server.files[f"http://hub.invalid/Org/far/resolve/{'a' * 40}/{name}"] = content
    no_hub_settings.setenv("HF_ENDPOINT", "http://hub.invalid")
    no_hub_settings.setenv("HTTP_PROXY", server.url(""))
    no_hub_settings.setenv("http_proxy", server.url(""))
    no_hub_settings.setenv("no_proxy", "")
    assert contents(await store.fetch("hf:Org/far")) == small
