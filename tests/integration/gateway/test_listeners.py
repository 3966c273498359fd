"""Ports of single models: the same routes, keys and metrics, one model."""

from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from moorage.testing import FakeEngine
from tests.integration.gateway.harness import MODEL, Harness, chat, key_row, target
from tests.integration.gateway.recordings import SPEECH, TRANSCRIPTIONS, speech

VECTORS = msgspec.structs.replace(MODEL, id="vectors", names=("vectors", "v"), task="embed")
ROWS = [MODEL, VECTORS, SPEECH]


async def publish(gateway: Harness, engine: FakeEngine, **changes: Any) -> None:
    targets = [target(engine, row.id, model=row.id, echoes_model=True) for row in ROWS]
    await gateway.publish(*targets, models=ROWS, **changes)


def client(gateway: Harness, model: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(gateway.urls[model])


async def test_a_port_serves_its_model_alone(short_tmp: Path) -> None:
    async with FakeEngine() as engine, Harness(short_tmp, ports_of=["vectors"]) as gateway:
        await publish(gateway, engine)
        async with client(gateway, "vectors") as http:
            for name in ("vectors", "v"):
                async with http.post("/v1/embeddings", json={"model": name, "input": "x"}) as reply:
                    assert (reply.status, engine.calls[-1].json["model"]) == (200, name)
            for path in ("/v1/embeddings", "/rerank", "/v2/embed", "/invocations"):
                async with http.post(path, json={"input": "x", "query": "x", "documents": [], "texts": ["x"]}) as reply:
                    assert (reply.status, engine.calls[-1].json["model"]) == (200, "vectors")
            async with http.post("/v1/chat/completions", json=chat()) as reply:
                error = (await reply.json())["error"]
            assert (reply.status, error["code"]) == (404, "model_not_found")
            assert error["message"] == "there is no model 'org/model' at this port: it serves 'vectors'"
            async with http.post("/v1/chat/completions", json={"messages": []}) as reply:
                assert reply.status == 400
                assert "'vectors' is a model to embed; it has no chat" in (await reply.json())["error"]["message"]


async def test_the_main_port_goes_on_serving_all(short_tmp: Path) -> None:
    async with FakeEngine() as engine, Harness(short_tmp, ports_of=["vectors"]) as gateway:
        await publish(gateway, engine)
        async with gateway.http.post("/v1/chat/completions", json=chat()) as reply:
            assert reply.status == 200
        async with gateway.http.post("/v1/embeddings", json={"model": "vectors", "input": "x"}) as reply:
            assert reply.status == 200
        async with gateway.http.get("/v1/models") as reply:
            assert len((await reply.json())["data"]) == 3


async def test_listings_and_health_speak_of_the_one(short_tmp: Path) -> None:
    async with FakeEngine() as engine, Harness(short_tmp, ports_of=["vectors", "org/model"]) as gateway:
        sick = target(engine, "chat-0", state="failed", reason="it crashed")
        await gateway.publish(sick, target(engine, "v-0", model="vectors"), models=ROWS)
        seen: dict[str, tuple[Any, ...]] = {}
        for model in ("vectors", "org/model"):
            async with client(gateway, model) as http:
                async with http.get("/v1/models") as reply:
                    names = [row["id"] for row in (await reply.json())["data"]]
                async with http.get("/health") as reply:
                    health = await reply.json()
                async with http.get("/ready") as reply:
                    seen[model] = (names, health["status"], list(health["models"]), reply.status)
                for name, status in (("vectors", 200 if model == "vectors" else 404), ("org/whisper", 404)):
                    async with http.get(f"/v1/models/{name}") as reply:
                        assert reply.status == status
        assert seen["vectors"] == (["vectors"], "healthy", ["vectors"], 200)
        assert seen["org/model"] == (["org/model"], "degraded", ["org/model"], 503)


async def test_keys_limits_and_metrics_are_the_same(short_tmp: Path) -> None:
    async with FakeEngine() as engine, Harness(short_tmp, ports_of=["org/whisper"]) as gateway:
        await publish(gateway, engine, keys=[key_row("mk-good")], max_upload_bytes=5000)
        key = {"Authorization": "Bearer mk-good"}
        async with client(gateway, "org/whisper") as http:
            for path in (TRANSCRIPTIONS, "/v1/models", "/metrics", "/load", "/api/v1/status"):
                async with http.request("POST" if path == TRANSCRIPTIONS else "GET", path) as reply:
                    assert reply.status == 401, path
            async with http.post(TRANSCRIPTIONS, data=speech(bytes(6000)), headers=key) as reply:
                assert reply.status == 413
            async with http.post(TRANSCRIPTIONS, data=speech(), headers=key) as reply:
                assert reply.status == 200
            async with http.get("/metrics", headers=key) as reply:
                text = await reply.text()
        async with gateway.http.get("/metrics", headers=key) as reply:
            everywhere = await reply.text()
        for line in (
            'moorage_requests_total{model="org/whisper",status="200",surface="transcriptions"} 1.0',
            'moorage_replica_ready{model="vectors",replica="vectors",engine=""} 1',
        ):
            assert line in text
            assert line in everywhere


async def test_a_port_follows_the_table(short_tmp: Path) -> None:
    """A model that is not there yet, comes, and goes."""
    async with FakeEngine() as engine, Harness(short_tmp, ports_of=["vectors"]) as gateway:
        async with client(gateway, "vectors") as http:
            body = {"input": "x"}
            for present in (False, True, False):
                await gateway.publish(target(engine, model="vectors"), models=[MODEL, *([VECTORS] if present else [])])
                async with http.post("/v1/embeddings", json=body) as reply:
                    assert reply.status == (200 if present else 404)
                    if not present:
                        assert "this port serves 'vectors'" in await reply.text()
                async with http.get("/ready") as reply:
                    assert reply.status == 200


@pytest.mark.parametrize("header", [{"Host": "rebound.example"}, {"Origin": "https://evil.example"}])
async def test_foreign_pages_are_refused_here_too(short_tmp: Path, header: dict[str, str]) -> None:
    async with FakeEngine() as engine, Harness(short_tmp, ports_of=["vectors"]) as gateway:
        await publish(gateway, engine)
        async with client(gateway, "vectors") as http:
            async with http.post("/v1/embeddings", json={"input": "x"}, headers=header) as reply:
                assert reply.status == 403
