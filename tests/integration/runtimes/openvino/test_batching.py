"""Many streams in one batch, and prompts of any length."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from moorage.engines.openvino import OpenVino
from moorage.telemetry.exposition import read
from tests.integration.runtimes.runtime import Runtime, until

pytestmark = pytest.mark.engine


def at_once(runtime: Runtime, calls: int, **fields: Any) -> list[dict[str, Any]]:
    def one(number: int) -> dict[str, Any]:
        answer = runtime.complete(f"{number}. Once upon a time", **fields)
        assert answer.status == 200, answer.content
        return answer.body

    with ThreadPoolExecutor(calls) as pool:
        return list(pool.map(one, range(calls)))


def test_twenty_streams_share_their_steps(generate: Runtime) -> None:
    before = generate.metric("moorage_runtime_steps_total")
    bodies = at_once(generate, 20, max_tokens=40, ignore_eos=True)
    assert [body["usage"]["completion_tokens"] for body in bodies] == [40] * 20
    assert generate.metric("moorage_runtime_steps_total") - before < 20 * 40 / 3
    until(lambda: generate.metric("moorage_runtime_sequences") == 0, 5)
    load = OpenVino().observe(read(generate.get("/metrics").content.decode()))
    assert (load.running, load.queued, load.kv_used) == (0, 0, 0)
    assert load.progress


def test_more_text_than_the_cache_holds_waits_its_turn(make_runtime: Callable[..., Runtime]) -> None:
    small = make_runtime(sequences=6, context=512, cache_tokens=640).start().ready()
    bodies = at_once(small, 6, max_tokens=300, ignore_eos=True)
    assert [body["usage"]["completion_tokens"] for body in bodies] == [300] * 6


def test_choices_of_one_prompt_share_it(generate: Runtime) -> None:
    steps = generate.metric("moorage_runtime_steps_total")
    prompt = "A story of a boat and a bird. " * 100
    body = generate.complete(prompt, n=8, max_tokens=2, ignore_eos=True, seed=3).body
    assert len(body["choices"]) == 8
    assert body["usage"]["prompt_tokens"] == generate.count(prompt=prompt) > 700
    # Read once in steps of 256 tokens; the other choices begin with what the first one left in the cache.
    assert generate.metric("moorage_runtime_steps_total") - steps <= 14


def test_nothing_of_a_long_text_is_dropped(generate: Runtime) -> None:
    assert generate.count(prompt="start " + "word " * 20_000) == pytest.approx(20_001, abs=4)
    answer = generate.complete("word " * 20_000, max_tokens=1)
    assert answer.error["code"] == "context_length_exceeded"


SCHEMAS: list[dict[str, Any]] = [
    {
        "type": "object",
        "properties": {"a": {"type": "integer", "minimum": -5, "maximum": 120}, "b": {"type": "boolean"}},
    },
    {"type": "array", "items": {"type": "string", "pattern": "^[a-z]{2,6}$"}, "minItems": 2, "maxItems": 3},
    {"type": "object", "properties": {"when": {"type": "string", "format": "date-time"}}, "required": ["when"]},
    {"anyOf": [{"enum": ["red", "green é"]}, {"type": "number", "minimum": 0.5, "exclusiveMaximum": 2}]},
    {"$ref": "#/$defs/n", "$defs": {"n": {"properties": {"x": {"maxLength": 9, "type": "string"}}, "required": ["x"]}}},
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=json.dumps)
def test_schemas_are_kept_by_every_choice(generate: Runtime, schema: dict[str, Any]) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    body = generate.chat("Write something.", response_format=wanted, max_tokens=120, n=6, temperature=1.2, seed=5).body
    for choice in body["choices"]:
        assert choice["finish_reason"] == "stop"
        jsonschema.validate(json.loads(choice["message"]["content"]), schema)


def test_a_length_that_its_grammar_cannot_count_is_refused(generate: Runtime) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "string", "maxLength": 500}}}
    error = generate.chat("x", response_format=wanted, max_tokens=9).error
    assert (error["param"], error["code"]) == ("response_format.json_schema.schema", "invalid_schema")
    assert "128" in error["message"]


def test_each_seed_is_its_own(generate: Runtime) -> None:
    def said(seed: int | None) -> str:
        answer = generate.complete("Once upon a time", seed=seed, max_tokens=12, temperature=1.5, ignore_eos=True)
        return answer.body["choices"][0]["text"]

    assert said(1) == said(1)
    assert len({said(seed) for seed in (1, 2, 3, None, None)}) >= 4


def test_options_change_what_is_drawn(generate: Runtime) -> None:
    plain = generate.complete("One, two,", temperature=0, max_tokens=24, ignore_eos=True).body["choices"][0]["text"]
    for fields in ({"repetition_penalty": 1.8}, {"frequency_penalty": 2}, {"presence_penalty": 2}):
        other = generate.complete("One, two,", temperature=0, max_tokens=24, ignore_eos=True, **fields)
        assert other.body["choices"][0]["text"] != plain, fields
    for fields in ({"top_k": 1}, {"top_p": 0}, {"min_p": 1}, {"temperature": 0.00001}):
        same = generate.complete("One, two,", max_tokens=24, ignore_eos=True, **fields)
        assert same.body["choices"][0]["text"] == plain, fields


def test_a_model_of_its_own_process(make_runtime: Callable[..., Runtime], chat_weights: Path) -> None:
    runtime = make_runtime(kv_cache_dtype="f16", precision="bf16", prefix_caching=False, threads=1).start().ready()
    assert runtime.chat("Say hi.", max_tokens=3).status == 200
    runtime.terminate()
    assert runtime.wait() == 0
    assert str(chat_weights) in runtime.log
