"""The document is whole, and says of every route what its declarations say."""

import json
import re
from collections.abc import Iterator
from typing import Any, cast

import msgspec
import pytest
import schemathesis
from jsonschema import Draft202012Validator
from starlette.routing import Route

from moorage.controller.api import public
from moorage.gateway.openapi.document import document
from moorage.gateway.openapi.operations import INFERENCE
from moorage.gateway.openapi.pages import encoded
from moorage.gateway.routes import Routes
from moorage.gateway.surfaces.elastic import Elastic
from moorage.gateway.surfaces.hot import HOT
from moorage.wire.names import Task

MODELS: dict[Task, str] = {"generate": "chat", "embed": "vectors", "rerank": "ranks", "classify": "labels"}
DOCUMENT = document(MODELS, keys=True)
PASSED_ON = "/api/v1/{rest}"
"""The gateway's one route for the controller's."""


ABSENT = cast("Any", None)
"""Stands for what only answering needs."""


def served() -> set[tuple[str, str]]:
    """Method and path of every route; HEAD goes with GET."""
    elastic = Elastic(ABSENT, ABSENT, "", "")
    plain = [
        *(
            route
            for route in Routes(ABSENT, ABSENT, ABSENT, elastic, metrics=lambda: ABSENT).app().routes
            if isinstance(route, Route)
        ),
        *public.routes(ABSENT, ABSENT),
    ]
    found = {("post", path) for path in HOT}
    for route in plain:
        path = re.sub(r":\w+}", "}", route.path)
        if path != PASSED_ON:
            found |= {(method.lower(), path) for method in route.methods or () if method != "HEAD"}
    return found


def operations() -> Iterator[tuple[str, str, Any]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in cast("dict[str, Any]", value).items():
            if key == "$ref":
                yield item
            elif key == "mapping":
                yield from item.values()
            else:
                yield from references(item)
    elif isinstance(value, list):
        for item in cast("list[Any]", value):
            yield from references(item)


def resolved(reference: str) -> Any:
    found: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def check(value: Any, schema: dict[str, Any]) -> None:
    validator = cast("Any", Draft202012Validator({**schema, "components": DOCUMENT["components"]}))
    assert [error.message for error in validator.iter_errors(value)] == []


def test_every_route_is_in_it_and_every_route_in_it_is_served() -> None:
    assert {(method, path) for method, path, _ in operations()} == served()


def test_every_surface_is_declared_and_every_declared_one_is_served() -> None:
    assert set(INFERENCE) == {surface.name for surface in HOT.values()}


@pytest.mark.parametrize("keys", [True, False])
def test_it_is_openapi(keys: bool) -> None:
    schemathesis.openapi.from_dict(document({}, keys=keys)).validate()
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_it_refers_to_nothing_that_is_not_there_and_holds_nothing_unused() -> None:
    used = set(references(DOCUMENT))
    for reference in used:
        assert resolved(reference) is not None
    for section in ("schemas", "responses", "headers"):
        there = {f"#/components/{section}/{name}" for name in DOCUMENT["components"][section]}
        assert there - used == set()


def test_names_are_short_and_told_apart() -> None:
    assert all(re.fullmatch(r"[A-Za-z0-9]+", name) for name in DOCUMENT["components"]["schemas"])
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(ids) == len(set(ids))
    assert all(operation["tags"][0] in {tag["name"] for tag in DOCUMENT["tags"]} for _, _, operation in operations())


def test_examples_are_what_their_routes_take() -> None:
    seen = 0
    for path, surface in HOT.items():
        content = next(iter(DOCUMENT["paths"][path]["post"]["requestBody"]["content"].values()))
        for example in content.get("examples", {}).values():
            check(example["value"], content["schema"])
            assert example["value"]["model"] in {MODELS[task] for task in surface.tasks}
            body = msgspec.json.encode(example["value"])
            assert any(takes(kind, body) for kind in INFERENCE[surface.name].request)
            seen += 1
    assert seen >= len(HOT) - 2


def takes(kind: type, body: bytes) -> bool:
    try:
        msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError:
        return False
    return True


def test_fields_say_what_their_docstrings_say() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    request = schemas["ChatRequest"]["properties"]
    assert request["top_logprobs"]["description"] == "Needs `logprobs`."
    assert request["temperature"]["minimum"] == 0
    assert schemas["EmbeddingRequest"]["properties"]["encoding_format"]["description"].startswith("base64:")
    assert schemas["Message"]["properties"]["role"]["enum"]
    assert schemas["ModelHealth"]["required"] == ["state", "ready", "replicas"]
    assert "null" not in json.dumps(schemas["RerankResult"])


def test_forms_have_their_file_and_no_null() -> None:
    for name in ("TranscriptionRequest", "TranslationRequest"):
        schema = DOCUMENT["components"]["schemas"][name]
        assert schema["required"] == ["file"]
        assert schema["properties"]["file"]["format"] == "binary"
        assert '"null"' not in json.dumps(schema["properties"])
    for path, surface in HOT.items():
        kinds = list(DOCUMENT["paths"][path]["post"]["requestBody"]["content"])
        assert kinds == ["multipart/form-data" if surface.form else "application/json"]


def test_refusals_carry_their_headers() -> None:
    responses = DOCUMENT["components"]["responses"]
    assert "Retry-After" in responses["Unavailable"]["headers"]
    assert "WWW-Authenticate" in responses["NotAuthenticated"]["headers"]
    assert all("X-Request-Id" in response["headers"] for response in responses.values())
    for response in responses.values():
        media = response["content"]["application/json"]
        check(media["example"], media["schema"])


def test_it_names_no_address() -> None:
    assert DOCUMENT["servers"] == [{"url": "/"}]
    text = json.dumps({key: value for key, value in DOCUMENT.items() if key != "components"})
    assert not re.search(r"https?://", text)


def test_it_is_made_once() -> None:
    first = encoded((("generate", "a"),), True)
    assert encoded((("generate", "a"),), True) is first
    assert encoded((("generate", "b"),), True).etag != first.etag
    assert encoded((("generate", "a"),), False).etag != first.etag
