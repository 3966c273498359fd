"""Encoders through a real gateway: every route and spelling, who is meant without a name, usage, metrics."""

import io
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from moorage.testing import FakeEngine
from moorage.wire.names import Task
from moorage.wire.table import ModelRow
from tests.contract.openai_schema import validate
from tests.integration.gateway.harness import MODEL, Harness, chat, key_row, target

QUERY = {"query": "fair winds", "documents": ["calm sea", "fair winds and a quay", "winds"]}
CALLS: list[tuple[Task, str, dict[str, Any]]] = [
    ("embed", "/v1/embeddings", {"input": ["one two", "three"]}),
    ("embed", "/v2/embed", {"texts": ["one two", "three"], "input_type": "search_query"}),
    ("rerank", "/rerank", QUERY),
    ("rerank", "/v1/rerank", QUERY),
    ("embed", "/v2/rerank", QUERY),
    ("rerank", "/score", {"text_1": "fair winds", "text_2": ["calm sea", "winds"]}),
    ("embed", "/v1/score", {"queries": "fair winds", "documents": ["calm sea", "winds"]}),
    ("rerank", "/score", {"data_1": ["fair winds"], "data_2": ["calm sea", "winds"]}),
    ("classify", "/classify", {"input": ["one two", "three"]}),
    ("embed", "/pooling", {"input": "one two three", "task": "token_embed"}),
    ("classify", "/pooling", {"input": "one two three"}),
    ("rerank", "/tokenize", {"prompt": "one two three"}),
    ("classify", "/tokenize", {"prompt": "one two three"}),
]


def model(task: Task | None, id: str = "org/model") -> ModelRow:
    return msgspec.structs.replace(MODEL, id=id, names=(id, f"{id}-alias"), task=task)


@pytest.mark.parametrize("echoes", [True, False])
@pytest.mark.parametrize(("task", "path", "body"), CALLS, ids=[f"{task} {path}" for task, path, _ in CALLS])
async def test_every_route_reaches_the_same_path(
    short_tmp: Path, task: Task, path: str, body: dict[str, Any], echoes: bool
) -> None:
    async with FakeEngine(model="org/model-alias" if echoes else "served") as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine, echoes_model=echoes), models=[model(task)])
        async with gateway.http.post(path, json={"model": "org/model-alias", **body, "priority": 1}) as reply:
            text = await reply.text()
        assert reply.status == 200, text
        assert reply.headers["content-type"] == "application/json"
        assert json.loads(text).get("model", "org/model-alias") == "org/model-alias"
        (call,) = engine.record.calls
        assert call.path == path
        assert call.json == {"model": "org/model-alias" if echoes else "served", **body}


@pytest.mark.parametrize("given", [{}, {"model": None}, {"model": ""}])
async def test_a_model_that_is_not_named_is_named_to_the_engine(short_tmp: Path, given: dict[str, Any]) -> None:
    async with FakeEngine(model="org/model") as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine, echoes_model=True), models=[model("embed")])
        async with gateway.http.post("/v1/embeddings", json={**given, "input": "a"}) as reply:
            assert reply.status == 200
        (call,) = engine.record.calls
        assert call.json == {"model": "org/model", "input": "a"}


async def test_replies_keep_their_shapes(short_tmp: Path) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine), models=[model("embed")])

        async def answer(path: str, **body: Any) -> Any:
            async with gateway.http.post(path, json=body) as reply:
                assert reply.status == 200
                return await reply.json()

        validate("CreateEmbeddingResponse", await answer("/v1/embeddings", input="a"))
        ranked = await answer("/v1/rerank", **QUERY, top_n=2)
        assert [(one["index"], one["relevance_score"]) for one in ranked["results"]] == [(1, 1.0), (2, 0.5)]
        scored = await answer("/score", text_1="fair winds", text_2=["calm", "winds"])
        assert [one["score"] for one in scored["data"]] == [0.0, 0.5]
        assert (await answer("/v2/embed", texts=["a"]))["meta"]["billed_units"] == {"input_tokens": 1}


@pytest.mark.parametrize(
    ("path", "tokens", "surface"),
    [
        ("/v1/embeddings", 2, "embeddings"),
        ("/v2/embed", 2, "embed"),
        ("/v2/rerank", 10, "rerank"),
        ("/score", 4, "score"),
    ],
)
async def test_usage_is_read_in_every_spelling(short_tmp: Path, path: str, tokens: int, surface: str) -> None:
    bodies: dict[str, dict[str, Any]] = {
        "embeddings": {"input": "one two"},
        "embed": {"texts": ["one", "two"]},
        "rerank": QUERY,
        "score": {"text_1": "one two", "text_2": "three four"},
    }
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine), models=[model("embed")])
        async with gateway.http.post(path, json=bodies[surface]) as reply:
            assert reply.status == 200
        (line,) = gateway.lines()
        assert (line["surface"], line["prompt_tokens"], line["completion_tokens"]) == (surface, tokens, 0)
        async with gateway.http.get("/metrics") as reply:
            text = await reply.text()
        assert f'moorage_tokens_total{{kind="prompt",model="org/model",surface="{surface}"}} {tokens}.0' in text
        assert f'moorage_requests_total{{model="org/model",status="200",surface="{surface}"}} 1.0' in text


async def test_without_a_name_the_one_model_that_fits_is_meant(short_tmp: Path) -> None:
    rows = [model("generate", "chat"), model("embed", "vectors"), model("classify", "labels")]
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        targets = [target(engine, row.id, model=row.id, echoes_model=True) for row in rows]
        await gateway.publish(*targets, models=rows)
        asked: list[tuple[str, dict[str, Any], str]] = [
            ("/v1/chat/completions", {"messages": chat()["messages"]}, "chat"),
            ("/rerank", QUERY, "vectors"),
            ("/classify", {"input": "x"}, "labels"),
        ]
        for path, body, name in asked:
            async with gateway.http.post(path, json=body) as reply:
                assert reply.status == 200, await reply.text()
            assert engine.calls[-1].json["model"] == name
        async with gateway.http.post("/pooling", json={"input": "x"}) as reply:
            assert reply.status == 400
            assert "it may be 'labels', 'vectors'" in (await reply.json())["error"]["message"]
        async with gateway.http.post("/v1/audio/transcriptions", data={"file": io.BytesIO(b"x")}) as reply:
            assert reply.status == 404
            assert (await reply.json())["error"]["message"] == "there is no model to transcribe here"


@pytest.mark.parametrize(
    ("task", "body", "path"),
    [
        ("embed", {"input": "x"}, "/v1/embeddings"),
        ("classify", {"input": "x"}, "/classify"),
        ("rerank", {"input": "x"}, "/pooling"),
        ("embed", {"input": "x", "task": "embed"}, "/pooling"),
        ("rerank", QUERY, "/rerank"),
        ("embed", {"text_1": "a", "text_2": "b"}, "/score"),
        ("embed", {"texts": ["x"]}, "/v2/embed"),
    ],
)
@pytest.mark.parametrize("named", [True, False])
async def test_invocations_of_encoders(
    short_tmp: Path, task: Task, body: dict[str, Any], path: str, named: bool
) -> None:
    rows = [model("generate", "chat"), model(task, "encoder")]
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(*(target(engine, row.id, model=row.id) for row in rows), models=rows)
        asked = body | ({"model": "encoder"} if named else {})
        async with gateway.http.post("/invocations", json=asked) as reply:
            assert reply.status == 200, await reply.text()
        assert engine.calls[-1].path == path


@pytest.mark.parametrize(
    ("path", "task", "words"),
    [
        ("/classify", "embed", "a model to embed; it has no classify"),
        ("/rerank", "generate", "a model to generate; it has no rerank"),
        ("/v1/chat/completions", "rerank", "a model to rerank; it has no chat"),
        ("/v1/embeddings", "classify", "a model to classify; it has no embeddings"),
    ],
)
async def test_the_wrong_model_is_told_so(short_tmp: Path, path: str, task: Task, words: str) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine), models=[model(task)])
        async with gateway.http.post(path, json={"model": "org/model"}) as reply:
            error = (await reply.json())["error"]
        assert (reply.status, error["param"]) == (400, "model")
        assert words in error["message"]
        assert engine.calls == []


@pytest.mark.parametrize("path", ["/rerank", "/v2/embed", "/pooling", "/classify", "/score", "/v1/audio/translations"])
async def test_keys_and_methods_as_everywhere(short_tmp: Path, path: str) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine), keys=[key_row("mk-good")])
        async with gateway.http.post(path, json={}) as reply:
            assert reply.status == 401
        async with gateway.http.get(path, headers={"Authorization": "Bearer mk-good"}) as reply:
            assert reply.status == 405
        assert engine.record.connections == 0


@pytest.mark.parametrize("fault", ["reset", "503", "500", "json", "truncate after=0"])
async def test_a_failed_encoder_is_made_good_elsewhere(short_tmp: Path, fault: str) -> None:
    async with FakeEngine() as bad, FakeEngine() as good, Harness(short_tmp) as gateway:
        kind, *rest = fault.split()
        values: dict[str, Any] = {key: int(value) for key, _, value in (word.partition("=") for word in rest)}
        bad.fault("status", code=int(kind), path="/") if kind.isdigit() else bad.fault(kind, path="/", **values)
        await gateway.publish(target(bad, "a"), target(good, "b"), models=[model("embed")])
        async with gateway.http.post("/rerank", json=QUERY) as reply:
            assert reply.status == 200, await reply.text()
        assert (len(bad.calls), len(good.calls)) == (1, 1)
