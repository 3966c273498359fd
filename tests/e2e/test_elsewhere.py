"""A server in front of another: its clients see the models of both, and what becomes of the other."""

import asyncio
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moorage.testing.server import FakeEngine
from tests.e2e.product import Product, wait_until

ENGINE = "moorage.testing.adapter:engine"
KEY = "up-k3y"
SLOW = {"extra_args": {"tokens_per_s": 30}}


@pytest.fixture(scope="module")
def weights() -> Iterator[Path]:
    """Any file will do for the fake engine."""
    folder = Path(tempfile.mkdtemp(prefix="mo-"))
    path = folder / "x.gguf"
    path.write_bytes(smallest_gguf())
    yield path
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def pair(weights: Path) -> Iterator[tuple[Product, Product]]:
    """(in front, behind)"""
    folders = [Path(tempfile.mkdtemp(prefix="mo-")) for _ in range(2)]
    behind = Product(
        folders[0],
        {
            "auth": {"keys": [KEY]},
            "models": [
                {"name": "org/up", "aliases": ["up"], "source": str(weights), "engine": ENGINE, "options": SLOW}
            ],
        },
    )
    front = Product(
        folders[1],
        {
            "models": [
                {"name": "far", "url": f"{behind.url}/v1", "api_key": "${UPSTREAM_KEY}", "source": "up"},
                {"name": "locked", "url": behind.url, "api_key": "wrong", "source": "up"},
                {"name": "typo", "url": behind.url, "api_key": KEY, "source": "org/upp"},
                {"name": "near", "source": str(weights), "engine": ENGINE},
            ]
        },
        env={"UPSTREAM_KEY": KEY},
    )
    try:
        behind.start()
        wait_until(lambda: behind.get("/health")[0] == 200, 60, behind.output)
        with behind, front.start():
            wait_until(lambda: state(front, "far")["state"] == "ready", 60, front.output)
            wait_until(lambda: state(front, "near")["state"] == "ready", 60, front.output)
            yield front, behind
    finally:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


def state(product: Product, model: str) -> dict[str, Any]:
    status, body = product.get("/api/v1/status")
    found = [one for one in body["models"] if one["id"] == model] if status == 200 else []
    return found[0]["targets"][0] if found and found[0]["targets"] else {"state": "", "reason": ""}


@pytest.mark.parametrize("model", ["far", "near"])
def test_calls_are_answered_the_same_wherever_it_runs(pair: tuple[Product, Product], model: str) -> None:
    front, _ = pair
    status, body = front.chat(model, "[[say: fair winds]]")
    assert status == 200
    assert (body["model"], body["choices"][0]["message"]["content"]) == (model, "fair winds")
    assert body["usage"]["completion_tokens"] > 0
    status, text = front.chat(model, "[[say: fair winds]]", stream=True)
    assert status == 200
    assert text.endswith("data: [DONE]\n\n")
    assert f'"model":"{model}"' in text.replace(": ", ":")
    assert "usage" not in text
    assert front.chat(model, messages=[])[0] in (200, 400)


def test_what_the_other_says_of_it(pair: tuple[Product, Product]) -> None:
    front, behind = pair
    far = state(front, "far")
    assert (far["engine"], far["pid"], far["capacity"]) == ("url", None, 32)
    assert any(behind.url.removeprefix("http://") in line for line in far["why"])
    listed = {model["id"]: model for model in front.get("/v1/models")[1]["data"]}
    assert (listed["far"]["task"], listed["far"]["max_model_len"]) == ("generate", 8192)
    assert listed["far"]["aliases"] == []


def test_mistakes_are_named(pair: tuple[Product, Product]) -> None:
    front, _ = pair
    assert "refuses the key: set models[].api_key" in state(front, "locked")["reason"]
    assert "did you mean 'org/up'" in state(front, "typo")["reason"]
    status, body = front.chat("locked")
    assert status == 503
    assert "refuses the key" in body["error"]["message"]


def test_errors_come_through(pair: tuple[Product, Product]) -> None:
    front, _ = pair
    status, body = front.chat("far", "[[fault: 400]]")
    assert (status, body["error"]["type"]) == (400, "invalid_request_error")
    status, text = front.chat("far", "[[fault: reset after=2]] a b c d e f", stream=True)
    assert status == 200
    assert '"error"' in text
    assert "[DONE]" not in text


def test_keys_are_told_to_nobody(pair: tuple[Product, Product]) -> None:
    front, _ = pair
    assert KEY not in str(front.get("/api/v1/status"))
    assert KEY not in front.output
    for path in (front.folder / "state").rglob("*.log"):
        assert KEY not in path.read_text(errors="replace")


def test_gone_and_back(pair: tuple[Product, Product]) -> None:
    front, behind = pair
    behind.kill()
    assert behind.process is not None
    behind.process.wait(10)
    wait_until(lambda: state(front, "far")["state"] == "failed", 30, "the loss is seen")
    assert "cannot connect" in state(front, "far")["reason"]
    assert front.chat("far")[0] in (502, 503)
    assert front.chat("near")[0] == 200
    behind.start()
    wait_until(lambda: state(front, "far")["state"] == "ready", 60, "it is found again")
    wait_until(lambda: front.chat("far")[0] == 200, 10, "an answer")
    assert state(front, "far")["generation"] == 2


async def test_over_tls_below_a_path(short_tmp: Path) -> None:
    """What a certificate is trusted by is the system's, or SSL_CERT_FILE. The server answers below /tenant alone."""
    certificate = self_signed(short_tmp)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with FakeEngine(model="far", token=KEY) as engine:
        port = int(engine.address.rpartition(":")[2])
        lines: list[bytes] = []
        relay = await asyncio.start_server(lambda r, w: below(r, w, port, lines), "127.0.0.1", 0, ssl=context)
        url = f"https://localhost:{relay.sockets[0].getsockname()[1]}/tenant/v1"
        config = {"models": [{"name": "far", "url": url, "api_key": KEY}]}
        product = Product(short_tmp, config, env={"SSL_CERT_FILE": str(certificate)})
        with await asyncio.to_thread(product.start):
            await asyncio.to_thread(product.ready)
            for stream in (False, True):
                status, body = await asyncio.to_thread(product.chat, "far", "[[say: fair winds]]", stream=stream)
                assert status == 200
                assert "fair" in str(body)
        relay.close()
        await relay.wait_closed()
    assert all(b" /tenant/v1/" in line for line in lines)


async def below(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, lines: list[bytes]) -> None:
    """One connection, one call: a server that answers below a path, in front of one that does not."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines.append(head.splitlines()[0])
    head = head.replace(b" /tenant/", b" /", 1).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
    there, forth = await asyncio.open_connection("127.0.0.1", port)
    forth.write(head)

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while piece := await source.read(65536):
            sink.write(piece)
            await sink.drain()

    up = asyncio.create_task(pump(reader, forth))
    await pump(there, writer)
    up.cancel()
    await asyncio.gather(up, return_exceptions=True)
    forth.close()
    writer.close()


def self_signed(folder: Path) -> Path:
    path, alone = folder / "cert.pem", folder / "only.pem"
    about = ("-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2")
    names = ("-addext", "subjectAltName=DNS:localhost")
    argv = ["openssl", "req", *about, *names, "-keyout", path, "-out", alone]
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
    path.write_bytes(path.read_bytes() + alone.read_bytes())
    return path


def smallest_gguf() -> bytes:
    def text(words: str) -> bytes:
        return len(words).to_bytes(8, "little") + words.encode()

    header = b"GGUF" + (3).to_bytes(4, "little") + (1).to_bytes(8, "little") * 2
    header += text("general.architecture") + (8).to_bytes(4, "little") + text("llama") + text("output.weight")
    header += (1).to_bytes(4, "little") + (32).to_bytes(8, "little") + bytes(12)
    return header + bytes(-len(header) % 32) + bytes(128)
