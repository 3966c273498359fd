"""Ports of single models and uploads, as a user starts them: several gateways on inherited sockets."""

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.e2e.product import Product, free_port, wait_until
from tests.e2e.test_start import run

pytestmark = pytest.mark.engine

FAKE = "moorage.testing.adapter:engine"


def config(weights: Path, port: int, **speech: Any) -> dict[str, Any]:
    return {
        "server": {"processes": 2},
        "models": [
            {"name": "chat", "source": str(weights), "engine": FAKE, "aliases": ["c"]},
            {"name": "speech", "source": str(weights), "engine": FAKE, "task": "transcribe", "port": port} | speech,
        ],
    }


async def transcribe(url: str, recording: Path, **fields: str) -> dict[str, Any]:
    """On a connection of its own, and not before the server wants it: as curl does with large files."""
    with open(recording, "rb") as file:
        form = aiohttp.FormData({"file": file, **fields})
        async with aiohttp.ClientSession(url) as session:
            async with session.post("/v1/audio/transcriptions", data=form, expect100=True) as reply:
                return await reply.json()


async def test_a_model_with_a_port_of_its_own(short_tmp: Path, chat_weights: Path) -> None:
    port = free_port()
    recording = short_tmp / "speech.wav"
    recording.write_bytes(bytes(20_000_000))
    with Product(short_tmp, config(chat_weights, port)).start().ready() as product:
        own = f"http://127.0.0.1:{port}"
        asked = (transcribe(url, recording, prompt="[[say: ahoy]]") for url in [own, product.url] * 8)
        assert [reply["text"] for reply in await asyncio.gather(*asked)] == ["ahoy"] * 16
        assert "serves 'speech'" in (await transcribe(own, recording, model="chat"))["error"]["message"]
        async with aiohttp.ClientSession(own) as session, session.get("/v1/models") as reply:
            assert [row["id"] for row in (await reply.json())["data"]] == ["speech"]
        assert len(product.get("/v1/models")[1]["data"]) == 2
        urls = {model["id"]: model["url"] for model in product.get("/api/v1/status")[1]["models"]}
        assert urls == {"chat": None, "speech": own}
        wait_until(lambda: f"also at {own}/v1" in product.output, 5, "the welcome tells the port")
        (spool,) = (short_tmp / "state").glob("serve-*/spool")
        assert list(spool.iterdir()) == []
        assert spool.stat().st_mode & 0o077 == 0

        product.write_config(config(chat_weights, port + 1))
        wait_until(lambda: "the port of model 'speech' cannot change" in product.output, 5, "the reload is refused")
        assert product.chat("c")[0] == 200


def test_ports_that_cannot_be_had_are_told_before_anything_starts(short_tmp: Path, chat_weights: Path) -> None:
    file = short_tmp / "moorage.yaml"
    main = free_port()
    with socket.create_server(("127.0.0.1", 0)) as holder:
        taken = holder.getsockname()[1]
        for own, fields, words in (
            (taken, {}, f"port {taken} is taken by"),
            (main, {}, f"models.local[1].port and server.port are both {main}"),
            (free_port(), {"host": "0.0.0.0"}, "models.local[1].host is '0.0.0.0', which others can reach"),
        ):
            file.write_text(json.dumps(config(chat_weights, own, **fields)))
            done = run("-c", str(file), "-p", str(main), folder=short_tmp)
            assert done.returncode == 1
            assert words in done.stderr
            assert "Traceback" not in done.stderr
    assert not list(short_tmp.glob("state/serve-*/logs/*"))
