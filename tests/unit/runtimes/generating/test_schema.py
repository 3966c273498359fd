import json
from typing import Any

import jsonschema
import pytest

from moorage.errors import BadRequest
from moorage.runtimes.generating.schema import DEPTH_MAX, bounded, budget, checked, moved


def test_what_is_open_gets_a_bound() -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            "text": {"type": "string"},
            "number": {"type": "integer"},
            "list": {"type": "array", "items": {"type": "string"}},
            "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "both": {"type": ["string", "null"]},
        },
    }
    narrowed = bounded(schema, 500)
    properties = narrowed["properties"]
    assert narrowed["additionalProperties"] is False
    assert 50 < properties["text"]["maxLength"] <= 1000 / 5
    assert properties["number"]["maximum"] == 2**53 - 1
    assert properties["list"]["maxItems"] >= 1
    assert properties["list"]["items"]["maxLength"] < properties["text"]["maxLength"]
    assert "maxLength" in properties["maybe"]["anyOf"][0]
    assert "maxLength" in properties["both"]
    assert "maxLength" not in json.dumps(schema)


def test_what_is_bounded_stays() -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            "a": {"type": "string", "maxLength": 9000},
            "b": {"enum": ["x", "y"]},
            "c": {"type": "string", "pattern": "^a+$"},
            "d": {"type": "integer", "minimum": 3},
            "e": {"type": "array", "items": {"const": 1}, "maxItems": 700},
        },
        "additionalProperties": {"type": "null"},
    }
    assert bounded(schema, 100) == schema


def test_least_sizes_are_respected() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "string", "minLength": 400},
            "b": {"type": "array", "items": {"type": "null"}, "minItems": 90},
        },
    }
    narrowed = bounded(schema, 20)["properties"]
    assert narrowed["a"]["maxLength"] >= 400
    assert narrowed["b"]["maxItems"] >= 90


@pytest.mark.parametrize("empty", [{}, {"type": "object"}])
def test_a_function_without_parameters_takes_none(empty: dict[str, Any]) -> None:
    narrowed = bounded(empty, 100)
    jsonschema.validate({}, narrowed)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"x": 1}, narrowed)


def test_references_follow_a_schema_that_moves() -> None:
    inner: dict[str, Any] = {
        "$ref": "#/$defs/node",
        "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}, "top": {"$ref": "#"}}}},
    }
    outer = {"anyOf": [{"properties": {"arguments": moved(inner, "#/anyOf/0/properties/arguments")}}]}
    jsonschema.validate({"arguments": {"next": {"next": {}}}}, outer)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"arguments": {"next": 3}}, outer)


def test_only_small_models_get_a_small_budget() -> None:
    assert budget(8000, 135_000_000) < 300
    assert budget(50, 135_000_000) == 50
    assert budget(8000, 7_000_000_000) == 8000


def test_depth_is_limited() -> None:
    deep: dict[str, Any] = {}
    for _ in range(DEPTH_MAX + 1):
        deep = {"not": deep}
    with pytest.raises(BadRequest, match="deeper") as caught:
        checked(deep, "tools[0]")
    assert caught.value.param == "tools[0]"
    assert checked({"not": {"not": {}}}, "x")


@pytest.mark.parametrize(
    "part",
    [
        {"type": "array", "maxItems": 10_000_000},
        {"type": "array", "minItems": 1_000_000_000},
        {"type": "array", "maxItems": 1e300},
        {"type": "integer", "multipleOf": 999_983},
        {"type": "number", "multipleOf": 0.999983},
    ],
)
def test_numbers_that_cost_the_engine_its_memory_are_refused(part: dict[str, Any]) -> None:
    """10 million items took 9 GB and a minute in which nobody was answered; a thousand million killed the engine."""
    with pytest.raises(BadRequest, match="too much for a grammar") as refused:
        checked({"type": "object", "properties": {"a": {"anyOf": [part]}}}, "schema")
    assert refused.value.param == "schema"


def test_numbers_a_schema_may_have() -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            "maxItems": {"type": "integer", "multipleOf": 1000, "maximum": 10**12},
            "list": {"type": "array", "items": {"type": "number", "multipleOf": 0.01}, "maxItems": 10_000},
            "text": {"type": "string", "maxLength": 1_000_000_000},
        },
    }
    assert checked(schema, "schema") is schema
