"""Calls as engines want them put: fields added, routes that are elsewhere or nowhere, tool calls nobody can force."""

from pathlib import Path

import msgspec
import pytest

from moorage.testing.server import FakeEngine
from moorage.wire.control import Manners
from tests.integration.gateway.harness import MODEL, Harness, chat, target


async def test_fields_are_added_to_what_generates_alone(short_tmp: Path) -> None:
    manners = Manners(adds={"return_progress": True})
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        row = target(engine, manners=manners)
        other = msgspec.structs.replace(row, id="t1", model="other")
        vectors = msgspec.structs.replace(MODEL, id="other", names=("other",), task="embed")
        await gateway.publish(row, other, models=[MODEL, vectors])
        async with gateway.http.post("/v1/chat/completions", json=chat(return_progress=False)) as reply:
            assert reply.status == 200
        async with gateway.http.post("/v1/embeddings", json={"model": "other", "input": "x"}) as reply:
            assert reply.status == 200
    assert engine.calls[0].json["return_progress"] is True
    assert "return_progress" not in engine.calls[1].json


async def test_routes_that_are_elsewhere_or_nowhere(short_tmp: Path) -> None:
    manners = Manners(paths={"/v1/chat/completions": "/v1/completions", "/tokenize": ""})
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        row = msgspec.structs.replace(target(engine, manners=manners), engine="that-engine")
        await gateway.publish(row)
        async with gateway.http.post("/v1/chat/completions", json=chat(prompt="x")) as reply:
            assert (await reply.json())["object"] == "text_completion"
        async with gateway.http.post("/tokenize", json={"model": "org/model", "prompt": "x"}) as reply:
            assert reply.status == 400
            assert "that-engine, which has no /tokenize" in (await reply.json())["error"]["message"]
    assert len(engine.calls) == 1


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "w"}}])
async def test_a_demand_for_a_tool_call_is_no_wish(short_tmp: Path, choice: object) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine, manners=Manners(forces_tools=False)))
        async with gateway.http.post("/v1/chat/completions", json=chat(tool_choice=choice)) as reply:
            error = (await reply.json())["error"]
            assert (reply.status, error["param"]) == (400, "tool_choice")
        for harmless in ("auto", "none", None):
            async with gateway.http.post("/v1/chat/completions", json=chat(tool_choice=harmless)) as reply:
                assert reply.status == 200
    assert len(engine.calls) == 3
