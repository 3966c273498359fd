"""Calls through a real gateway to a healthy engine: what passes, what is edited, what is refused."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from openai import AsyncOpenAI

from moorage.testing import FakeEngine
from tests.integration.gateway.harness import JSON, MODEL, Harness, chat, key_row, target


def events(text: str) -> list[Any]:
    """The data of a stream's events; `[DONE]` as it is."""
    data = [line.removeprefix("data: ") for line in text.split("\n") if line.startswith("data: ")]
    return [item if item == "[DONE]" else json.loads(item) for item in data]


@pytest.mark.parametrize("name", ["org/model", "alias"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_reply_carries_the_name_that_was_asked_for(short_tmp: Path, name: str, stream: bool) -> None:
    async with FakeEngine(model="served") as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine))
        async with gateway.http.post("/v1/chat/completions", json=chat(model=name, stream=stream)) as reply:
            assert reply.status == 200
            assert reply.headers["x-request-id"].startswith("req_")
            text = await reply.text()
        bodies = [e for e in events(text) if e != "[DONE]"] if stream else [json.loads(text)]
        assert {body["model"] for body in bodies} == {name}
        assert engine.calls[0].json["model"] == "served"
        assert not stream or events(text)[-1] == "[DONE]"


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("echoes", [False, True])
async def test_usage_is_read_but_shown_only_to_who_asked(short_tmp: Path, asked: bool, echoes: bool) -> None:
    async with FakeEngine(model=MODEL.id, reply_tokens=5) as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine, echoes_model=echoes))
        body = chat(stream=True) | ({"stream_options": {"include_usage": True}} if asked else {})
        async with gateway.http.post("/v1/chat/completions", json=body) as reply:
            got = events(await reply.text())
        usages = [e["usage"] for e in got if e != "[DONE]" and e.get("usage")]
        assert [u["completion_tokens"] for u in usages] == ([5] if asked else [])
        assert asked or all("usage" not in e for e in got if e != "[DONE]")
        (line,) = gateway.lines()
        assert (line["completion_tokens"], line["counted"]) == (5, False)


async def test_values_pass_untouched_and_private_fields_do_not_pass(short_tmp: Path) -> None:
    async with FakeEngine(model="served") as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine))
        raw = (
            b'{"id_slot": 3, "cache_prompt":true,"lora":[1], "temperature":1.50e0,"unknown_field": {"a":[1, 2]},'
            b'"model":"alias","messages":[ {"role":"user","content":"\\u00e9\xc3\xa9"} ]}'
        )
        async with gateway.http.post("/v1/chat/completions", data=raw, headers=JSON) as reply:
            assert reply.status == 200
        sent = engine.calls[0].body
        assert b'"temperature":1.50e0' in sent
        assert b'"unknown_field":{"a":[1, 2]}' in sent
        assert b'"messages":[ {"role":"user","content":"\\u00e9\xc3\xa9"} ]' in sent
        assert not any(name in sent for name in (b"id_slot", b"cache_prompt", b"lora"))


async def test_a_model_with_a_bound_on_replies(short_tmp: Path) -> None:
    bounded = msgspec.structs.replace(MODEL, max_output_tokens=7)
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine), models=[bounded])
        async with gateway.http.post("/v1/chat/completions", json=chat()) as reply:
            assert (await reply.json())["usage"]["completion_tokens"] == 7
        async with gateway.http.post("/v1/chat/completions", json=chat(max_tokens=8)) as reply:
            error = (await reply.json())["error"]
        assert (reply.status, error["param"]) == (400, "max_tokens")
        assert "end at 7 tokens" in error["message"]


async def test_the_openai_client_streams_and_does_not(short_tmp: Path) -> None:
    async with FakeEngine(model="served") as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine))
        async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="EMPTY") as client:
            messages: Any = [{"role": "user", "content": "[[say: fair winds]]"}]
            whole = await client.chat.completions.create(model="alias", messages=messages)
            stream = await client.chat.completions.create(model="alias", messages=messages, stream=True)
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
            assert whole.choices[0].message.content == text == "fair winds"
            models = await client.models.list()
            assert [model.id for model in models.data] == ["org/model"]
            assert (await client.models.retrieve("alias")).id == "alias"


@pytest.mark.parametrize("path", ["/v1/models/org/model", "/v1/models/org%2Fmodel", "/v1/models/alias"])
async def test_models_with_slashes_are_found(short_tmp: Path, path: str) -> None:
    async with Harness(short_tmp) as gateway:
        await gateway.publish()
        async with gateway.http.get(path) as reply:
            body = await reply.json()
        assert (reply.status, body["max_model_len"], body["task"]) == (200, 8192, "generate")


@pytest.mark.parametrize(
    ("body", "status", "param", "words"),
    [
        (b"", 400, None, "is empty"),
        (b"{", 400, None, "not valid JSON"),
        (b"[]", 400, None, "JSON object"),
        (b'{"messages":[]}', 400, "model", "'model' is missing; it may be 'org/model', 'other/chat'"),
        (b'{"model":7}', 400, "model", "Expected str, got int"),
        (b'{"model":"alias","stream":"yes"}', 400, "stream", "Expected bool"),
        (b'{"model":"alias","stream_options":[]}', 400, "stream_options", "Expected object"),
        (b'{"model":"other"}', 404, "model", "there is no model 'other' here; models: 'org/model', 'other/chat'"),
        (b'{"model":"alias","a":"\xff"}', 400, None, "byte 22 is 0xff"),
    ],
)
async def test_bad_bodies(short_tmp: Path, body: bytes, status: int, param: str | None, words: str) -> None:
    second = msgspec.structs.replace(MODEL, id="other/chat", names=("other/chat",))
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine), models=[MODEL, second])
        async with gateway.http.post("/v1/chat/completions", data=body, headers=JSON) as reply:
            error = (await reply.json())["error"]
        assert (reply.status, error["param"]) == (status, param)
        assert words in error["message"]
        assert set(error) == {"message", "type", "param", "code"}
        assert not engine.calls


async def test_an_engines_refusal_is_passed_on_as_our_error(short_tmp: Path) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine))
        for code, status in ((400, 400), (422, 422), (401, 502), (418, 400)):
            async with gateway.http.post("/v1/chat/completions", json=chat(f"[[fault: {code}]]")) as reply:
                error = (await reply.json())["error"]
            assert reply.status == (status if code != 422 else 400), code
            assert error["message"]


async def test_wrong_surface_and_method(short_tmp: Path) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine))
        async with gateway.http.post("/v1/embeddings", json={"model": "alias", "input": "x"}) as reply:
            assert reply.status == 400
            assert "a model to generate" in (await reply.json())["error"]["message"]
        async with gateway.http.get("/v1/chat/completions") as reply:
            assert (reply.status, (await reply.json())["error"]["code"]) == (405, "method_not_allowed")
        async with gateway.http.get("/nowhere") as reply:
            assert (reply.status, (await reply.json())["error"]["code"]) == (404, "not_found")
            assert reply.headers["x-request-id"]
        async with gateway.http.post("/v1/models") as reply:
            assert reply.status == 405


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/metrics", "/load", "/api/v1/status"])
async def test_keys_are_demanded_and_checked(short_tmp: Path, path: str) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine), keys=[key_row("mk-good")])
        method = "POST" if path.startswith("/v1/chat") else "GET"
        for headers, status in (
            ({}, 401),
            ({"Authorization": "Bearer mk-bad"}, 401),
            ({"Authorization": "Basic mk-good"}, 401),
            ({"Authorization": "Bearer "}, 401),
        ):
            async with gateway.http.request(method, path, headers=headers) as reply:
                assert reply.status == status, headers
                assert reply.headers["www-authenticate"] == "Bearer"
                assert "mk-bad" not in await reply.text()
        for headers in ({"Authorization": "Bearer mk-good"}, {"x-api-key": "mk-good"}, {"api-key": "mk-good"}):
            async with gateway.http.request(method, path, headers=headers) as reply:
                assert reply.status != 401, headers


async def test_without_keys_any_key_is_ignored_and_foreign_pages_are_refused(short_tmp: Path) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine))
        for headers, status in (
            ({"Authorization": "Bearer EMPTY"}, 200),
            ({"Origin": "http://localhost:3000"}, 200),
            ({"Host": "localhost:1"}, 200),
            ({"Origin": "https://evil.example"}, 403),
            ({"Origin": "null"}, 403),
            ({"Host": "rebound.example:8000"}, 403),
        ):
            async with gateway.http.post("/v1/chat/completions", json=chat(), headers=headers) as reply:
                assert reply.status == status, headers


async def test_health_ready_and_the_rest(short_tmp: Path) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(models=[])
        async with gateway.http.get("/ready") as reply:
            assert (reply.status, (await reply.json())["models"]) == (200, [])
        await gateway.publish(target(engine, state="starting", reason="loading"))
        async with gateway.http.get("/ready") as reply:
            assert (reply.status, (await reply.json())["waiting_for"]) == (503, ["org/model"])
            assert reply.headers["retry-after"] == "2"
        async with gateway.http.get("/health") as reply:
            body = await reply.json()
            assert (reply.status, body["status"]) == (200, "degraded")
            assert body["models"]["org/model"]["state"] == "starting"
        await gateway.publish(target(engine))
        async with gateway.http.get("/ready") as reply:
            assert reply.status == 200
        for method in ("GET", "POST"):
            async with gateway.http.request(method, "/ping") as reply:
                assert reply.status == 200
        async with gateway.http.get("/load") as reply:
            assert await reply.json() == {"server_load": 0}
        async with gateway.http.head("/health") as reply:
            assert reply.status == 200


async def test_health_tells_why_only_those_who_may_use_the_models(short_tmp: Path) -> None:
    """A reason may quote the engine's log."""
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        crashed = target(engine, state="failed", reason="crashed; last lines of /var/log/secret.log: ...")
        for keys in ([key_row("mk-good")], []):
            await gateway.publish(crashed, keys=keys)
            for headers, knows in (
                ({"Authorization": "Bearer mk-good"}, True),
                ({}, not keys),
                ({"Origin": "http://example.com"}, False),
            ):
                async with gateway.http.get("/health", headers=headers) as reply:
                    body = await reply.text()
                    assert (reply.status, "degraded" in body) == (200, True)
                    assert ("secret.log" in body) is knows


async def test_no_redirect_believes_the_host_header(short_tmp: Path) -> None:
    async with Harness(short_tmp) as gateway:
        await gateway.publish()
        for path in ("/health/", "/api/v1", "/v1/models/"):
            async with gateway.http.get(path, headers={"Host": "example.com"}, allow_redirects=False) as reply:
                assert reply.status in (403, 404)


async def test_invocations_finds_the_surface_in_the_body(short_tmp: Path) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine))
        for body, path in ((chat(), "/v1/chat/completions"), ({"prompt": "x"}, "/v1/completions")):
            body.pop("model", None)
            async with gateway.http.post("/invocations", json=body) as reply:
                assert reply.status == 200
            assert engine.calls[-1].path == path
        async with gateway.http.post("/invocations", json={"model": "alias"}) as reply:
            assert reply.status == 400
            assert "cannot tell" in (await reply.json())["error"]["message"]


async def test_metrics_count_tokens_and_show_replicas(short_tmp: Path) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine))
        async with gateway.http.post("/v1/chat/completions", json=chat("one two three", max_tokens=4)) as reply:
            assert reply.status == 200
        async with gateway.http.get("/metrics") as reply:
            text = await reply.text()
        assert 'moorage_requests_total{model="org/model",status="200",surface="chat"} 1.0' in text
        assert 'moorage_tokens_total{kind="prompt",model="org/model",surface="chat"} 3.0' in text
        assert 'moorage_tokens_total{kind="completion",model="org/model",surface="chat"} 4.0' in text
        assert 'moorage_requests_in_flight{process="0"} 0.0' in text
        assert 'moorage_replica_state{model="org/model",replica="t0",engine="",state="ready"} 1' in text


@pytest.mark.parametrize(("fault", "counted"), [("[[fault: nousage]]", True), ("", False)])
async def test_tokens_are_counted_where_the_engine_does_not_tell(short_tmp: Path, fault: str, counted: bool) -> None:
    async with FakeEngine(reply_tokens=20) as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine))
        async with gateway.http.post("/v1/chat/completions", json=chat(f"hi {fault}", stream=True)) as reply:
            assert reply.status == 200
            await reply.read()
        (line,) = gateway.lines()
        assert line["counted"] is counted
        assert 20 <= line["completion_tokens"] <= 22


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
async def test_a_body_of_another_kind_is_refused(short_tmp: Path, kind: str) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine))
        body = json.dumps(chat()).encode()
        async with gateway.http.post("/v1/chat/completions", data=body, headers={"content-type": kind}) as reply:
            error = (await reply.json())["error"]
        assert (reply.status, error["code"]) == (415, "unsupported_media_type")
        assert "application/json" in error["message"]
        assert not engine.calls


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "application/x+json", None])
async def test_kinds_that_are_json(short_tmp: Path, kind: str | None) -> None:
    async with FakeEngine() as engine, Harness(short_tmp) as gateway:
        await gateway.publish(target(engine))
        headers, skip = ({}, ["content-type"]) if kind is None else ({"content-type": kind}, [])
        call = gateway.http.post(
            "/v1/chat/completions", data=json.dumps(chat()).encode(), headers=headers, skip_auto_headers=skip
        )
        async with call as reply:
            assert reply.status == 200


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/chat/completions", "POST"),
        ("HEAD", "/rerank", "POST"),
        ("POST", "/v1/models", "GET, HEAD"),
        ("DELETE", "/ping", "GET, HEAD, POST"),
    ],
)
async def test_a_method_that_is_none_is_answered_with_those_that_are(
    short_tmp: Path, method: str, path: str, allowed: str
) -> None:
    async with Harness(short_tmp) as gateway, gateway.http.request(method, path) as reply:
        assert reply.status == 405
        assert reply.headers["allow"] == allowed
