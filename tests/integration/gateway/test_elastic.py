"""More or fewer copies of a model: by the engine where it can, else by its replicas."""

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.applications import Starlette

from moorage.config.model import ModelSpec
from moorage.controller.api import internal
from moorage.controller.fleet import Fleet
from moorage.controller.publisher import Publisher
from moorage.errors import DeadlineExceeded
from moorage.http.client import Client
from moorage.http.server import Server
from moorage.http.unix import bind_unix
from moorage.testing import FakeEngine
from moorage.wire.control import Manners
from moorage.wire.table import Settings, Snapshot
from tests.integration.gateway.harness import MODEL, Harness, key_row, target

SCALE = "/scale_elastic_ep"
SCALING = "/is_scaling_elastic_ep"
CONTROLLER = "/internal/v1/models/scale"
OTHER = msgspec.structs.replace(MODEL, id="other", names=("other",))
DEVELOPMENT = (
    *("/sleep", "/wake_up", "/is_sleeping", "/reset_prefix_cache", "/reset_mm_cache", "/collective_rpc"),
    *("/server_info", "/start_profile", "/stop_profile", "/v1/load_lora_adapter", "/v1/unload_lora_adapter"),
    *("/flush_cache", "/abort_request", "/release_memory_occupation", "/release_memory", "/re_isq", "/slots", "/props"),
    *("/lora-adapters", "/generate", "/update_weights_from_disk", "/metrics/", "/pause", "/resume", "/init_weights"),
)
"""What engines offer to their operators: none of it is for clients."""


async def test_an_elastic_engine_is_asked_itself(short_tmp: Path) -> None:
    async with FakeEngine(token="secret") as engine, Harness(short_tmp) as gateway:
        manners = Manners(elastic=True)
        await gateway.publish(target(engine, token="secret", manners=manners), models=[MODEL, OTHER])
        wish = {"model": "alias", "new_data_parallel_size": 4, "drain_timeout": 7.5}
        async with gateway.http.post(SCALE, json=wish) as reply:
            assert (reply.status, await reply.json()) == (200, {"message": "Scaled to 4 data parallel engines"})
        assert engine.record.calls[-1].json == {"new_data_parallel_size": 4, "drain_timeout": 7}
        async with gateway.http.post(SCALING, json={"model": "alias"}) as reply:
            assert (await reply.json())["requested_data_parallel_size"] == 4


@pytest.mark.parametrize(
    ("body", "status", "what"),
    [
        ({"new_data_parallel_size": 2}, 400, "'model' is missing"),
        ({"model": "nobody", "new_data_parallel_size": 2}, 404, "there is no model 'nobody'"),
        ({"model": "other"}, 400, "new_data_parallel_size is required"),
        ({"model": "other", "new_data_parallel_size": 0}, 400, "new_data_parallel_size"),
        ({"model": "other", "new_data_parallel_size": 65}, 400, "new_data_parallel_size"),
        ({"model": "other", "new_data_parallel_size": "many"}, 400, "new_data_parallel_size"),
        ({"model": "other", "new_data_parallel_size": 2, "drain_timeout": -1}, 400, "drain_timeout"),
        ({"model": "other", "new_data_parallel_size": 2}, 404, "there is no model 'other'"),
    ],
)
async def test_wrong_wishes(short_tmp: Path, body: dict[str, Any], status: int, what: str) -> None:
    """The last: a controller that has dropped the model meanwhile."""
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine), models=[MODEL, OTHER])
        async with gateway.http.post(SCALE, json=body) as reply:
            assert (reply.status, what in (await reply.json())["error"]["message"]) == (status, True)


async def test_it_needs_a_key_where_keys_are(short_tmp: Path) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine), keys=[key_row("sesame")])
        for path in (SCALE, SCALING):
            async with gateway.http.post(path, json={"new_data_parallel_size": 2}) as reply:
                assert reply.status == 401


async def test_an_engine_that_cannot_now(short_tmp: Path) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine, manners=Manners(elastic=True)))
        engine.fault("status", code=408, path=SCALE)
        async with gateway.http.post(SCALE, json={"new_data_parallel_size": 2}) as reply:
            assert reply.status == 408
        await engine.stop()
        async with gateway.http.post(SCALE, json={"new_data_parallel_size": 2}) as reply:
            assert reply.status == 502


async def test_a_client_that_leaves_is_not_waited_for(short_tmp: Path) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine, manners=Manners(elastic=True)))
        engine.fault("stall", path=SCALE)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5), gateway.http.post(SCALE, json={"new_data_parallel_size": 2}):
                pass
        async with asyncio.timeout(5):
            while engine.record.calls[-1].outcome != "cancelled":
                await asyncio.sleep(0.02)


async def test_nor_by_the_controller(short_tmp: Path) -> None:
    """Its replica is never ready: there is no worker."""
    fleet = Fleet(lambda: None)
    fleet.configure([ModelSpec(name="m", source="m.gguf")], 1)
    publisher = Publisher(Snapshot(epoch="", seq=0, settings=Settings()))
    routes = internal.routes(fleet, publisher, asyncio.Event())
    server = Server(Starlette(routes=routes), [bind_unix(str(short_tmp / "c.sock"))])
    await server.start()
    body = json.dumps({"model": "m", "new_data_parallel_size": 2, "drain_timeout": 600}).encode()
    async with Client() as client:
        with pytest.raises(DeadlineExceeded):
            call = client.call(f"unix:{short_tmp}/c.sock", "POST", CONTROLLER, body=body, timeout_s=0.5)
            async with call as reply:
                await reply.read()
    async with asyncio.timeout(5):
        await server.stop(60)
    assert len(fleet.replicas) == 2, "the wish stands"


async def test_routes_for_operators_of_engines_are_not_passed_on(short_tmp: Path) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine))
        for path in DEVELOPMENT:
            for method in ("GET", "POST"):
                async with gateway.http.request(method, path, json={"model": MODEL.id}) as reply:
                    assert reply.status in (404, 405), path
        assert not engine.record.calls
