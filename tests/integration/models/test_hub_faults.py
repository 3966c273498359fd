"""Hubs and their stores that fail in every way; fetches that are killed, doubled, cancelled, or lack room."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from moorage.errors import ModelError
from moorage.models.attempts import UNREACHABLE
from moorage.models.store import ModelStore
from moorage.wire.control import Progress
from tests.integration.models.fileserver import FileServer, Plan
from tests.integration.models.hubserver import HubServer, commit_of
from tests.integration.models.repositories import ENCODER, FOLDER, GGUFS, MIB, QUICK, contents, noise, stored

pytestmark = pytest.mark.usefixtures("hub")


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
    told: list[Progress] = []
    path = await store.fetch("hf:Org/encoder", on_progress=told.append)
    assert contents(path) == {name: ENCODER[name] for name in FOLDER}
    done = [progress.done for progress in told]
    assert done == sorted(done), "what was here already counts from the beginning"
    assert done[0] >= 2 * MIB
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
