"""Models that servers elsewhere answer for, seen by a worker: found, lost and found again, and what is said of it."""

import asyncio
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from moorage.config.model import ModelSpec
from moorage.http.client import Client
from moorage.testing.faults import Fault
from moorage.testing.server import FakeEngine
from moorage.wire.control import ReplicaOrder, ReplicaReport
from moorage.worker.elsewhere import ElsewhereReplica
from tests.integration.worker.conftest import Harbour


def order(url: str, key: str = "", name: str = "chat", attempt: int = 0, **fields: Any) -> ReplicaOrder:
    spec = ModelSpec.model_validate({"name": name, "url": url, "api_key": key or None} | fields)
    return ReplicaOrder(replica="chat-0", model=spec.model_dump(mode="json"), api_key=key, attempt=attempt)


class Watched:
    """A replica and all it reported."""

    def __init__(self, client: Client, first: ReplicaOrder) -> None:
        self.reports: list[ReplicaReport] = []
        self.replica = ElsewhereReplica(first, client, self.reports.append)

    async def __aenter__(self) -> "Watched":
        self.replica.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.replica.stop(0.0, "the test is over")
        assert self.replica.report().state == "stopped"

    async def until(self, state: str, words: str = "", limit_s: float = 15.0) -> ReplicaReport:
        async with asyncio.timeout(limit_s):
            while (report := self.replica.report()).state != state or words not in report.reason:
                await asyncio.sleep(0.02)
        return report


async def test_found_by_its_listing() -> None:
    async with FakeEngine(model="org/x", token="k3y", max_model_len=777) as engine, Client() as client:
        first = order(f"{engine.address}/v1", "k3y", source="org/x", options={"max_sequences": 3})
        async with Watched(client, first) as watched:
            report = await watched.until("ready", "lists it")
            assert (report.address, report.token, report.served_name) == (engine.address, "k3y", "org/x")
            assert (report.engine, report.capacity, report.task, report.generation) == ("url", 3, "generate", 1)
            assert report.max_model_len == 777
            assert not engine.calls
        assert [one.state for one in watched.reports] == ["starting", "ready", "stopped"]
        assert "k3y" not in repr([one.reason for one in watched.reports])


async def test_away_and_back(short_tmp: Path) -> None:
    engine = FakeEngine(model="chat")
    await engine.start()
    port = int(engine.address.rpartition(":")[2])
    async with Client() as client, Watched(client, order(engine.address)) as watched:
        await watched.until("ready")
        await engine.stop()
        lost = await watched.until("failed", "cannot connect")
        assert lost.retry_at is not None
        async with FakeEngine(model="chat", port=port):
            found = await watched.until("ready")
            assert (found.generation, found.restarts) == (2, 1)


async def test_one_failed_check_is_no_loss() -> None:
    async with FakeEngine(model="chat") as engine, Client() as client:
        async with Watched(client, order(engine.address)) as watched:
            await watched.until("ready")
            engine.fault("status", code=503, path="/v1/models", times=1)
            await asyncio.sleep(7.0)
            assert [one.state for one in watched.reports] == ["starting", "ready"]


async def test_without_a_listing_a_real_call_decides() -> None:
    faults = Fault(kind="status", code=404, path="/v1/models")
    async with FakeEngine(faults, model="chat") as engine, Client() as client:
        async with Watched(client, order(engine.address)) as watched:
            await watched.until("ready", "answered a call")
            assert [call.path for call in engine.calls] == ["/v1/chat/completions"]
            assert engine.calls[0].json["max_tokens"] == 1
            await asyncio.sleep(6.0)
            assert len(engine.calls) == 1, "a check that costs money is not repeated"


@pytest.mark.parametrize(
    ("key", "fields", "words"),
    [
        ("wrong", {}, "refuses the key: set models[].api_key"),
        (
            "k3y",
            {"name": "org/smoll"},
            "it has no model 'org/smoll'; did you mean 'org/smol'? Say it in the model's source",
        ),
        ("k3y", {"source": "zzz"}, "it has 'org/smol'"),
        ("k3y", {"name": "org/smol", "options": {"lora": {"a": "b"}}}, "a server elsewhere has no options.lora"),
    ],
)
async def test_what_somebody_has_to_correct(key: str, fields: dict[str, Any], words: str) -> None:
    async with FakeEngine(model="org/smol", token="k3y") as engine, Client() as client:
        async with Watched(client, order(engine.address, key, **fields)) as watched:
            report = await watched.until("failed")
            assert words in report.reason
            assert report.reason.startswith(engine.address)
            watched.replica.change(order(engine.address, "k3y", name="org/smol"))
            await watched.until("ready")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(kind="status", code=503), "answered GET /v1/models with 503"),
        (Fault(kind="reset"), "broke off"),
        (Fault(kind="garbage"), "broke off"),
        (Fault(kind="status", code=302), "sends callers on to"),
    ],
)
async def test_whatever_it_answers_the_watch_goes_on(fault: Fault, words: str) -> None:
    async with FakeEngine(fault, model="chat") as engine, Client() as client:
        async with Watched(client, order(engine.address)) as watched:
            await watched.until("failed", words)
            engine.heal()
            await watched.until("ready")


async def test_nobody_is_there(short_tmp: Path) -> None:
    async with Client() as client, Watched(client, order("http://127.0.0.1:9/v1")) as watched:
        assert "cannot connect to http://127.0.0.1:9" in (await watched.until("failed")).reason


async def test_a_name_nobody_knows() -> None:
    async with Client() as client, Watched(client, order("https://no-such-host.invalid/v1")) as watched:
        assert "no-such-host.invalid" in (await watched.until("failed", limit_s=30)).reason


async def test_a_base_path_and_another_version() -> None:
    async with FakeEngine(model="chat") as engine, Client() as client:
        for url, address, models in (
            (f"{engine.address}/tenant/v1", f"{engine.address}/tenant", "/tenant/v1/models"),
            (f"{engine.address}/api/paas/v4", f"{engine.address}/api/paas/v4", "/api/paas/v4/models"),
        ):
            async with Watched(client, order(url)) as watched:
                await watched.until("failed")
            assert models in [call.path for call in engine.record.calls]
            assert address in watched.reports[0].reason or url in watched.reports[0].reason


async def test_tls_that_cannot_be_trusted(short_tmp: Path) -> None:
    certificate = self_signed(short_tmp)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    async with Client() as client, Watched(client, order(f"https://localhost:{port}/v1")) as watched:
        report = await watched.until("failed")
    server.close()
    await server.wait_closed()
    assert "certificate" in report.reason


async def test_a_worker_moves_a_model_elsewhere_and_back(harbour: Harbour) -> None:
    worker = harbour.worker()
    await worker.start()
    async with FakeEngine(model="chat", token="k3y") as engine:
        try:
            harbour.controller.order(harbour.order())
            here = await harbour.controller.until("chat-0", "ready")
            harbour.controller.order(order(engine.address, "k3y"))
            there = await harbour.controller.until("chat-0", "ready", generation=1)
            while there.engine != "url":
                await asyncio.sleep(0.05)
                there = await harbour.controller.until("chat-0", "ready")
            assert there.address == engine.address != here.address
            assert not harbour.left()
            async with harbour.client.call(
                f"unix:{harbour.folder / 'api.sock'}", "GET", "/replicas", token="worker-token"
            ) as reply:
                assert b"k3y" not in await reply.read()
            harbour.controller.order(harbour.order())
            back = await harbour.controller.until("chat-0", "ready")
            while back.engine == "url":
                await asyncio.sleep(0.05)
                back = await harbour.controller.until("chat-0", "ready")
            assert (await harbour.ask(back))[0] == 200
        finally:
            await worker.stop(1.0)


def self_signed(folder: Path) -> Path:
    path = folder / "cert.pem"
    about = ("-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2")
    argv = ["openssl", "req", *about, "-keyout", path, "-out", folder / "only.pem"]
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
    with path.open("ab") as file:
        file.write((folder / "only.pem").read_bytes())
    return path


class Host:
    """A server that answers every call alike, and remembers nothing: no FakeEngine would."""

    def __init__(self, status: str, content: bytes, kind: str = "text/html", *, echo: bool = False) -> None:
        self._answer = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nConnection: close\r\n".encode()
        self._content = content
        self._echo = echo
        self._server: asyncio.Server | None = None
        self.address = ""

    async def __aenter__(self) -> "Host":
        self._server = await asyncio.start_server(self._reply, "127.0.0.1", 0)
        self.address = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _reply(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard = await reader.readuntil(b"\r\n\r\n")
        content = self._content + (heard if self._echo else b"")
        writer.write(self._answer + b"Content-Length: %d\r\n\r\n" % len(content) + content)
        await writer.drain()
        writer.close()


async def test_a_website_is_no_server_of_models() -> None:
    async with Host("200 OK", b"<html>Welcome!</html>") as host, Client() as client:
        async with Watched(client, order(host.address)) as watched:
            report = await watched.until("failed")
            assert "no JSON but '<html>Welcome!</html>': no server of models is there" in report.reason
            assert "ready" not in [one.state for one in watched.reports]


@pytest.mark.parametrize("status", ["401 Unauthorized", "400 Bad Request", "500 Internal Server Error"])
@pytest.mark.parametrize("before", [0, 180])
async def test_a_key_that_the_server_repeats_is_not_told_on(status: str, before: int) -> None:
    key = "sk-" + "5ecret" * 20
    async with Host(status, b"." * before, echo=True) as host, Client() as client:
        async with Watched(client, order(host.address, key)) as watched:
            report = await watched.until("failed")
            assert f"with {status[:3]}" in report.reason
            assert "sk-5e" not in repr([one.reason for one in watched.reports])
