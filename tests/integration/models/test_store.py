"""The store under processes that compete and die, files that change, disks that fill."""

import asyncio
import hashlib
import os
import random
import signal
import sys
from pathlib import Path

import pytest

from moorage.errors import ModelError
from moorage.models.manifest import folder_checksum
from moorage.models.store import ModelStore
from moorage.wire.control import Progress
from tests.integration.models.fileserver import FileServer, Plan

CONTENT = random.Random(3).randbytes(6 * 1024 * 1024)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MIB = 1024 * 1024

FETCH = """
import asyncio, sys
from pathlib import Path
from moorage.models.store import ModelStore
print(asyncio.run(ModelStore(Path(sys.argv[1])).fetch(sys.argv[2], sys.argv[3])))
"""


@pytest.fixture
def url(server: FileServer) -> str:
    server.files["/tiny.gguf"] = CONTENT
    return server.url("/tiny.gguf")


async def fetching(cache: Path, url: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", FETCH, str(cache), url, SHA256, stdout=asyncio.subprocess.PIPE
    )


async def until_sent(server: FileServer, size_bytes: int) -> None:
    async with asyncio.timeout(20):
        while server.sent < size_bytes:
            await asyncio.sleep(0.01)


async def test_tasks_share_one_download(server: FileServer, url: str, tmp_path: Path) -> None:
    server.plan = Plan(pause_s=0.005)
    told: list[Progress] = []
    stores = [ModelStore(tmp_path) for _ in range(4)]
    first, *others = [asyncio.create_task(store.fetch(url, SHA256)) for store in stores]
    await until_sent(server, MIB)
    paths = {await first, *await asyncio.gather(*others, ModelStore(tmp_path).fetch(url, SHA256, told.append))}
    assert len(paths) == 1
    assert len(server.seen) == 1


async def test_who_waits_sees_how_far_the_other_is(server: FileServer, url: str, tmp_path: Path) -> None:
    server.plan = Plan(pause_s=0.02)
    first = asyncio.create_task(ModelStore(tmp_path).fetch(url, SHA256))
    await until_sent(server, 2 * MIB)
    told: list[Progress] = []
    await ModelStore(tmp_path).fetch(url, SHA256, told.append)
    await first
    assert told
    assert all(progress.what == "downloading" and progress.total == len(CONTENT) for progress in told)


async def test_processes_share_one_download(server: FileServer, url: str, tmp_path: Path) -> None:
    server.plan = Plan(pause_s=0.005)
    processes = await asyncio.gather(*(fetching(tmp_path, url) for _ in range(3)))
    outputs = [(await process.communicate())[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(set(outputs)) == 1
    (entry,) = ModelStore(tmp_path).list()
    assert outputs[0].decode().strip() == str(entry.path)
    assert entry.path.read_bytes() == CONTENT
    assert len(server.seen) == 1
    assert server.sent == len(CONTENT)


async def test_a_killed_fetch_is_taken_up_by_who_waits(server: FileServer, url: str, tmp_path: Path) -> None:
    server.plans = [Plan(stall_after=3 * MIB)]
    killed = await fetching(tmp_path, url)
    await until_sent(server, 3 * MIB)
    waiter = asyncio.create_task(ModelStore(tmp_path).fetch(url, SHA256))
    await asyncio.sleep(0.3)
    killed.send_signal(signal.SIGKILL)
    await killed.communicate()
    path = await waiter
    assert path.read_bytes() == CONTENT
    kept = len(CONTENT) - server.seen[1].sent
    assert 2 * MIB <= kept <= 3 * MIB, "all but the last unwritten block is gone on from"
    assert sorted(file.name for file in path.parent.iterdir()) == ["manifest.json", "tiny.gguf"]


async def test_a_cancelled_waiter_leaves_the_other_alone(server: FileServer, url: str, tmp_path: Path) -> None:
    server.plan = Plan(pause_s=0.01)
    first = asyncio.create_task(ModelStore(tmp_path).fetch(url, SHA256))
    await until_sent(server, MIB)
    waiter = asyncio.create_task(ModelStore(tmp_path).fetch(url, SHA256))
    await asyncio.sleep(0.1)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert (await first).read_bytes() == CONTENT


async def test_altered_truncated_and_lost_files_are_found_and_fetched_again(
    server: FileServer, url: str, tmp_path: Path
) -> None:
    store = ModelStore(tmp_path)
    path = await store.fetch(url, SHA256)

    def alter() -> None:
        with path.open("r+b") as file:
            file.write(b"altered")

    def lose_manifest() -> None:
        (path.parent / "manifest.json").write_text('{"source": 1}')

    for harm in (alter, lambda: os.truncate(path, 1000), path.unlink, lose_manifest):
        harm()
        before = len(server.seen)
        if harm is not lose_manifest:
            (check,) = await store.verify()
            assert check.problem
        assert await store.fetch(url, SHA256) == path
        assert path.read_bytes() == CONTENT
        assert len(server.seen) == before + 1
    (check,) = await store.verify([path.name])
    assert check.problem == ""


async def test_a_touched_file_is_read_once_and_kept(server: FileServer, url: str, tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    path = await store.fetch(url, SHA256)
    os.utime(path, (1, 1))
    told: list[Progress] = []
    await store.fetch(url, SHA256, told.append)
    assert told[-1] == Progress(what="verifying", done=len(CONTENT), total=len(CONTENT))
    told.clear()
    await store.fetch(url, SHA256, told.append)
    assert told == []
    assert len(server.seen) == 1


async def test_verify_reads_what_a_cheap_look_misses(server: FileServer, url: str, tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    path = await store.fetch(url, SHA256)
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    with path.open("r+b") as file:
        file.write(b"x")
    os.utime(path, ns=times)
    (check,) = await store.verify()
    assert "was altered" in check.problem


async def test_remove_and_find(server: FileServer, url: str, tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    path = await store.fetch(url, SHA256)
    with pytest.raises(ModelError, match="it has tiny"):
        store.find("other")
    server.files["/b/tiny.gguf"] = CONTENT
    await store.fetch(server.url("/b/tiny.gguf"), SHA256)
    with pytest.raises(ModelError, match="several model files"):
        await store.remove("tiny.gguf")
    await store.remove(url)
    assert not path.parent.exists()
    await store.remove("tiny.gguf")
    assert store.list() == ()
    with pytest.raises(ModelError, match="it has nothing"):
        await store.remove("tiny.gguf")


async def test_a_wrong_pin_leaves_the_good_file_alone(server: FileServer, url: str, tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    path = await store.fetch(url, SHA256)
    with pytest.raises(ModelError, match="another checksum"):
        await store.fetch(url, "0" * 64)
    assert await store.fetch(url, SHA256) == path
    assert (await store.verify())[0].problem == ""


@pytest.mark.parametrize("length", [True, False], ids=["known beforehand", "found while writing"])
async def test_a_full_disk_says_what_is_missing_and_keeps_nothing(
    server: FileServer, url: str, small_disk: Path, length: bool
) -> None:
    server.plan = Plan(length=length)
    with pytest.raises(ModelError, match="disk full: " + (r"2\.0 MB are missing" if length else "no room is left")):
        await ModelStore(small_disk).fetch(url, SHA256)
    assert list((small_disk / "models").iterdir()) == []
    if length:
        assert server.sent < len(CONTENT)


async def test_a_disk_that_fills_meanwhile(server: FileServer, url: str, small_disk: Path) -> None:
    server.files["/tiny.gguf"] = CONTENT[: 3 * MIB]
    server.plan = Plan(pause_s=0.01)
    task = asyncio.create_task(ModelStore(small_disk).fetch(url, hashlib.sha256(CONTENT[: 3 * MIB]).hexdigest()))
    await until_sent(server, 64 * 1024)
    (small_disk / "other").write_bytes(bytes(2 * MIB))
    with pytest.raises(ModelError, match="are missing"):
        await task
    assert list((small_disk / "models").iterdir()) == []


async def test_a_cache_that_cannot_be_written(url: str, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where a folder should be")
    with pytest.raises(ModelError, match=r"cannot write to the model cache.*MOORAGE_CACHE_DIR"):
        await ModelStore(tmp_path).fetch(url, SHA256)


async def test_local_files_are_used_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ModelStore(tmp_path / "cache")
    file = tmp_path / "Modèle 模型.gguf"
    file.write_bytes(CONTENT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for text in (str(file), file.name, f"./{file.name}", f"~/{file.name}"):
        assert await store.fetch(text) == file
    assert await store.fetch(str(file), SHA256) == file
    with pytest.raises(ModelError, match=f"sha256 is {SHA256}, wanted {'0' * 64}"):
        await store.fetch(str(file), "0" * 64)
    with pytest.raises(ModelError, match="there is no file or folder"):
        await store.fetch("./missing.gguf")
    with pytest.raises(ModelError, match=r"if the repository of a hub is meant, write hf:models/tiny\.gguf"):
        await store.fetch("models/tiny.gguf")
    with pytest.raises(ModelError, match=r"'/mnt/q/models/a\.gguf' .drives of Windows are looked for below /mnt"):
        await store.fetch(r"Q:\models\a.gguf")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelError, match="not a regular file"):
        await store.fetch("./pipe")
    with pytest.raises(ModelError, match="cannot read"):
        await store.fetch("x" * 5000)
    assert not (tmp_path / "cache").exists()


async def test_local_folders_are_used_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = ModelStore(tmp_path / "cache")
    folder = tmp_path / "Modèle 模型"
    (folder / "1_Pooling").mkdir(parents=True)
    with pytest.raises(ModelError, match="is an empty folder"):
        await store.fetch(str(folder))
    (folder / "model.safetensors").write_bytes(CONTENT)
    (folder / "1_Pooling" / "config.json").write_text("{}")
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("not of the model")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for text in (str(folder), folder.name, f"./{folder.name}/", f"~/{folder.name}"):
        assert await store.fetch(text) == folder
    pin = folder_checksum({"model.safetensors": SHA256, "1_Pooling/config.json": hashlib.sha256(b"{}").hexdigest()})
    assert await store.fetch(str(folder), pin) == folder
    with pytest.raises(ModelError, match=f"sha256 is {pin}, wanted {'0' * 64}"):
        await store.fetch(str(folder), "0" * 64)
    (folder / "config.json").symlink_to(folder / "gone.json")
    with pytest.raises(ModelError, match=r"cannot read '.*config.json': No such file"):
        await store.fetch(str(folder))
    (folder / "config.json").unlink()
    half = folder / ".cache" / "huggingface" / "download" / "abc.incomplete"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"")
    assert await store.fetch(str(folder)) == folder
    assert "looks half-downloaded" in caplog.text
    assert not (tmp_path / "cache").exists()
