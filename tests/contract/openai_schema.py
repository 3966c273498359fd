"""Bodies held against OpenAI's published schema (specs/openai.json)."""

import json
from functools import cache
from pathlib import Path
from typing import Any, cast

from jsonschema import Draft202012Validator

SPEC = Path(__file__).parent / "specs" / "openai.json"


def validate(name: str, body: object) -> None:
    """Raise AssertionError with every way in which `body` is not a `name` (`CreateChatCompletionResponse`, …)."""
    problems = [f"{error.json_path}: {error.message}" for error in cast("Any", _validator(name)).iter_errors(body)]
    assert not problems, f"not a {name}: {problems} in {json.dumps(body)[:2000]}"


@cache
def _validator(name: str) -> Draft202012Validator:
    schemas = _schemas()
    assert name in schemas, f"the specification has no {name}"
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}})


@cache
def _schemas() -> dict[str, Any]:
    return _translated(json.loads(SPEC.read_bytes())["components"]["schemas"])


def _translated(schema: Any) -> Any:
    """OpenAPI's `nullable`, which JSON Schema ignores, as a union with null."""
    if isinstance(schema, list):
        return [_translated(item) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    translated = {key: _translated(value) for key, value in cast("dict[str, Any]", schema).items()}
    if translated.get("nullable") is True:
        del translated["nullable"]
        return {"anyOf": [translated, {"type": "null"}]}
    return translated
