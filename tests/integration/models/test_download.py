"""The store against a web server that does everything wrong."""

import asyncio
import hashlib
import json
import os
import random
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from moorage.errors import ModelError
from moorage.models.attempts import Patience
from moorage.models.store import ModelStore
from moorage.wire.control import Progress
from tests.integration.models.fileserver import FileServer, Plan, serving

CONTENT = random.Random(1).randbytes(5 * 1024 * 1024 + 7)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER = random.Random(2).randbytes(5 * 1024 * 1024 + 7)
QUICK = Patience(connect_s=2, stall_s=1.0, attempts=3, backoff_s=0.01, max_wait_s=2)
MIB = 1024 * 1024


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path, patience=QUICK)


@pytest.fixture
def url(server: FileServer) -> str:
    server.files["/m/tiny.gguf"] = CONTENT
    return server.url("/m/tiny.gguf")


def nothing_kept(cache: Path) -> bool:
    return list((cache / "models").iterdir()) == []


async def test_fetches_once_and_remembers(store: ModelStore, server: FileServer, url: str) -> None:
    told: list[Progress] = []
    path = await store.fetch(url, SHA256, told.append)
    assert path.name == "tiny.gguf"
    assert path.read_bytes() == CONTENT
    done = [progress.done for progress in told]
    assert done == sorted(done)
    assert told[-1] == Progress(what="downloading", done=len(CONTENT), total=len(CONTENT))
    assert sorted(file.name for file in path.parent.iterdir()) == ["manifest.json", "tiny.gguf"]
    manifest = json.loads((path.parent / "manifest.json").read_bytes())
    assert (manifest["source"], manifest["sha256"], manifest["size_bytes"]) == (url, SHA256, len(CONTENT))

    assert await store.fetch(url, SHA256.upper()) == path
    assert len(server.seen) == 1
    (entry,) = store.list()
    assert (entry.path, entry.complete, entry.source) == (path, True, url)


async def test_a_broken_connection_is_resumed(store: ModelStore, server: FileServer, url: str) -> None:
    server.plans = [Plan(cut_after=2 * MIB), Plan(cut_after=2 * MIB)]
    path = await store.fetch(url, SHA256)
    assert path.read_bytes() == CONTENT
    assert [seen.headers.get("range") is not None for seen in server.seen] == [False, True, True]
    assert server.sent == len(CONTENT), "no byte came twice"


async def test_breaks_without_end_end_in_an_error_that_keeps_the_part(
    store: ModelStore, server: FileServer, url: str
) -> None:
    server.plans = [Plan(cut_after=2 * MIB)]
    server.plan = Plan(cut_after=0)
    with pytest.raises(ModelError, match="what is here is kept"):
        await store.fetch(url, SHA256)
    (entry,) = store.list()
    assert (entry.complete, entry.size_bytes, entry.source) == (False, 2 * MIB, url)
    server.plan = Plan()
    path = await store.fetch(url, SHA256)
    assert path.read_bytes() == CONTENT
    assert server.sent == len(CONTENT)


@pytest.mark.parametrize("plan", [Plan(ranges=False), Plan(length=False), Plan(length=False, ranges=False)])
async def test_a_server_without_ranges_or_lengths(store: ModelStore, server: FileServer, url: str, plan: Plan) -> None:
    server.plans = [Plan(cut_after=MIB)]
    server.plan = plan
    assert (await store.fetch(url, SHA256)).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "first",
    [Plan(cut_after=MIB), Plan(cut_after=MIB, etag=False)],
    ids=["etag", "no validator"],
)
@pytest.mark.parametrize(
    "then",
    [Plan(), Plan(heeds_if_range=False), Plan(etag=False, heeds_if_range=False)],
    ids=["heeds If-Range", "ignores If-Range", "ignores it and hides it"],
)
async def test_a_file_replaced_between_parts_is_fetched_from_the_start(
    store: ModelStore, server: FileServer, url: str, first: Plan, then: Plan
) -> None:
    server.plans, server.plan = [first], then
    task = asyncio.create_task(store.fetch(url, SHA256))
    server.files["/m/tiny.gguf"] = OTHER
    while not server.seen or not server.seen[0].sent:
        await asyncio.sleep(0.01)
    server.files["/m/tiny.gguf"] = CONTENT
    assert (await task).read_bytes() == CONTENT


@pytest.mark.parametrize("lie", [-1000, 1000])
async def test_a_wrong_length_is_never_a_whole_file(
    store: ModelStore, server: FileServer, url: str, tmp_path: Path, lie: int
) -> None:
    server.plan = Plan(lie_bytes=lie, ranges=False)
    with pytest.raises(ModelError):
        await store.fetch(url, SHA256)
    server.plan = Plan()
    assert (await store.fetch(url, SHA256)).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "not open to this machine .401"),
        (403, "credentials"),
        (404, "does not exist"),
        (410, "does not exist"),
        (418, "answers 418"),
        (302, "redirects to"),
    ],
)
async def test_refusals_are_final(
    store: ModelStore, server: FileServer, url: str, tmp_path: Path, status: int, says: str
) -> None:
    server.plan = Plan(status=status)
    with pytest.raises(ModelError, match=says):
        await store.fetch(url, SHA256)
    assert len(server.seen) == 1
    assert nothing_kept(tmp_path)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_passing_troubles_are_tried_again_a_few_times(
    store: ModelStore, server: FileServer, url: str, status: int
) -> None:
    server.plans = [Plan(status=status)] * 2
    assert (await store.fetch(url, SHA256)).read_bytes() == CONTENT
    assert len(server.seen) == 3


async def test_a_trouble_that_stays_is_told(store: ModelStore, server: FileServer, url: str, tmp_path: Path) -> None:
    server.plan = Plan(status=503)
    with pytest.raises(ModelError, match=r"answers 503 Said \(tried 3 times\)"):
        await store.fetch(url, SHA256)
    assert len(server.seen) == 3
    assert nothing_kept(tmp_path)


async def test_retry_after_is_heeded(store: ModelStore, server: FileServer, url: str) -> None:
    server.plans = [Plan(status=429, headers={"Retry-After": "1"})]
    started = asyncio.get_running_loop().time()
    await store.fetch(url, SHA256)
    assert asyncio.get_running_loop().time() - started >= 1


@pytest.mark.parametrize("after", ["3600", "Fri, 31 Dec 2999 23:59:59 GMT"])
async def test_a_long_retry_after_is_told_instead(store: ModelStore, server: FileServer, url: str, after: str) -> None:
    server.plan = Plan(status=429, headers={"Retry-After": after})
    with pytest.raises(ModelError, match="come back in"):
        await store.fetch(url, SHA256)
    assert len(server.seen) == 1


async def test_redirects_are_followed(store: ModelStore, server: FileServer, url: str) -> None:
    server.plans = [Plan(status=307, headers={"Location": "/m/../m/tiny.gguf"}), Plan(cut_after=MIB)]
    server.plans.append(server.plans[0])
    assert (await store.fetch(server.url("/there"), SHA256)).read_bytes() == CONTENT
    assert [seen.path for seen in server.seen] == ["/there", "/m/tiny.gguf", "/there", "/m/tiny.gguf"][
        : len(server.seen)
    ]


@pytest.mark.parametrize("location", ["/m/tiny.gguf", "file:///etc/passwd", "http://[bad", ""])
async def test_bad_redirects_end(store: ModelStore, server: FileServer, url: str, location: str) -> None:
    server.plan = Plan(status=302, headers={"Location": location})
    with pytest.raises(ModelError, match="redirects"):
        await store.fetch(url, SHA256)


async def test_a_stalled_server_is_left(store: ModelStore, server: FileServer, url: str) -> None:
    server.plans = [Plan(stall_after=MIB)]
    assert (await store.fetch(url, SHA256)).read_bytes() == CONTENT
    assert server.sent == len(CONTENT)


async def test_a_drip_is_not_a_stall(store: ModelStore, server: FileServer) -> None:
    server.files["/drip"] = CONTENT[:3000]
    server.plan = Plan(piece=100, pause_s=0.05)
    path = await store.fetch(server.url("/drip"), hashlib.sha256(CONTENT[:3000]).hexdigest())
    assert path.stat().st_size == 3000
    assert len(server.seen) == 1


async def test_nobody_answers(store: ModelStore, server: FileServer, url: str, free_port: int) -> None:
    with pytest.raises(ModelError, match=r"no connection.*tried 3 times"):
        await store.fetch(f"http://127.0.0.1:{free_port}/a.gguf", SHA256)


async def test_a_wrong_checksum_names_both_and_keeps_nothing(
    store: ModelStore, server: FileServer, url: str, tmp_path: Path
) -> None:
    wanted = "0" * 64
    with pytest.raises(ModelError) as caught:
        await store.fetch(url, wanted)
    assert SHA256 in str(caught.value)
    assert wanted in str(caught.value)
    assert nothing_kept(tmp_path)


async def test_a_login_page_is_recognised(store: ModelStore, server: FileServer, url: str) -> None:
    server.files["/m/tiny.gguf"] = b"<!DOCTYPE html><p>Please log in"
    with pytest.raises(ModelError, match="web page"):
        await store.fetch(url, SHA256)


async def test_a_url_needs_a_checksum(store: ModelStore, server: FileServer, url: str) -> None:
    with pytest.raises(ModelError, match="needs the file's sha256"):
        await store.fetch(url)
    assert server.seen == []


async def test_a_compressed_reply_is_refused(store: ModelStore, server: FileServer, url: str) -> None:
    server.plan = Plan(headers={"Content-Encoding": "gzip"})
    with pytest.raises(ModelError, match="compressed"):
        await store.fetch(url, SHA256)


async def test_a_part_that_is_longer_than_the_file(store: ModelStore, server: FileServer, url: str) -> None:
    server.plans = [Plan(cut_after=2 * MIB)]
    server.plan = Plan(cut_after=0)
    with pytest.raises(ModelError):
        await store.fetch(url, SHA256)
    (entry,) = store.list()
    with entry.path.open("ab") as part:
        part.write(b"x" * len(CONTENT))
    server.plan = Plan()
    assert (await store.fetch(url, SHA256)).read_bytes() == CONTENT


async def test_a_part_with_a_flipped_bit_is_not_trusted(store: ModelStore, server: FileServer, url: str) -> None:
    server.plans = [Plan(cut_after=2 * MIB)]
    server.plan = Plan(cut_after=0)
    with pytest.raises(ModelError):
        await store.fetch(url, SHA256)
    (entry,) = store.list()
    with entry.path.open("r+b") as part:
        part.write(b"other")
    server.plan = Plan()
    assert (await store.fetch(url, SHA256)).read_bytes() == CONTENT


async def test_a_cancelled_fetch_closes_its_connection_and_can_be_taken_up(
    store: ModelStore, server: FileServer, url: str, tmp_path: Path
) -> None:
    server.plans = [Plan(stall_after=2 * MIB)]
    patient = ModelStore(tmp_path, patience=Patience(stall_s=60))
    task = asyncio.create_task(patient.fetch(url, SHA256))
    while not server.seen or server.seen[0].sent < 2 * MIB:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(1):
        await server.seen[0].left.wait()
    assert (await store.fetch(url, SHA256)).read_bytes() == CONTENT
    assert server.sent == len(CONTENT)


async def test_a_key_of_the_url_is_never_shown(store: ModelStore, server: FileServer, tmp_path: Path) -> None:
    secret = server.url("/m/tiny.gguf?token=hunter2").replace("//", "//me:hunter2@")
    with pytest.raises(ModelError) as caught:
        await store.fetch(secret, SHA256)
    assert "hunter2" not in str(caught.value)
    server.files["/m/tiny.gguf"] = CONTENT
    server.login = "Basic bWU6aHVudGVyMg=="
    path = await store.fetch(secret, SHA256)
    assert b"hunter2" not in (path.parent / "manifest.json").read_bytes()


async def test_a_proxy_of_the_environment_is_used(
    store: ModelStore, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["http://models.invalid/tiny.gguf"] = CONTENT
    monkeypatch.setenv("http_proxy", server.url(""))
    monkeypatch.setenv("no_proxy", "")
    assert (await store.fetch("http://models.invalid/tiny.gguf", SHA256)).read_bytes() == CONTENT


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
async def test_tls_is_verified_and_never_left(
    store: ModelStore, server: FileServer, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    kind = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", *kind, *subject, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with serving(context) as secure:
        secure.files["/tiny.gguf"] = CONTENT
        with pytest.raises(ModelError, match=r"cannot trust.*SSL_CERT_FILE"):
            await store.fetch(secure.url("/tiny.gguf"), SHA256)
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT"):
            monkeypatch.setenv(name, str(certificate))
            assert (await ModelStore(tmp_path / name).fetch(secure.url("/tiny.gguf"), SHA256)).exists()
            monkeypatch.delenv(name)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        secure.plans = [Plan(status=302, headers={"Location": url})]
        with pytest.raises(ModelError, match="from https to"):
            await store.fetch(secure.url("/other.gguf"), SHA256)
    assert server.seen == []
    assert os.environ["SSL_CERT_FILE"] == str(certificate)
