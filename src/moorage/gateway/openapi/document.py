"""The document of a gateway's HTTP API (OpenAPI 3.1), made from the declarations its routes use."""

from collections.abc import Mapping
from typing import Any

import msgspec

import moorage
from moorage.gateway.call import Surface
from moorage.gateway.openapi.examples import Models, examples
from moorage.gateway.openapi.operations import INFERENCE, JSON, PLAIN, TAGS, Operation, Parameter
from moorage.gateway.openapi.responses import HEADERS, one_of, refusals, responses
from moorage.gateway.openapi.schemas import components
from moorage.gateway.surfaces.hot import HOT
from moorage.wire.api.audio import FILE
from moorage.wire.api.failure import ErrorReply

Json = dict[str, Any]
Schemas = Mapping[Any, Json]

FORM = "multipart/form-data"

ABOUT = """One endpoint for the models of this server, in the shapes of OpenAI, vLLM, Cohere and Jina.

**Keys.** {keys}

**Models.** `GET /v1/models` lists them; a model answers to its id, its aliases and the path it was given by. `model`
may be left out where only one model is for the task. Engines may take more fields than are written here; fields that
nobody knows are ignored.

**Errors** have OpenAI's body, and a `code` that stays. 503 carries `Retry-After`. A request that is no HTTP is answered
with 400, 408 or 431 on every route, and a method that a route does not have with 405.

**Request ids.** Every reply carries `X-Request-Id`, which is in the server's log too.

**HEAD** works where GET does.
"""
_WITH_KEYS = "Send one as `Authorization: Bearer KEY`, or in `x-api-key` or `api-key`."
_WITHOUT_KEYS = "None is needed here; any that is sent is ignored. Calls of web pages from elsewhere are refused."
_SCHEMES: Json = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    "api-key": {"type": "apiKey", "in": "header", "name": "api-key"},
}


def document(models: Models, *, keys: bool) -> Json:
    """`models` stand in the examples; `keys` says whether callers need one."""
    operations = [*INFERENCE.values(), *PLAIN.values()]
    schemas, named = components(
        dict.fromkeys(kind for operation in operations for kind in operation.request),
        dict.fromkeys([ErrorReply, *(kind for operation in operations for kind in _replied(operation))]),
    )
    _name_models(named)
    _add_files(named)
    paths: Json = {}
    for path, surface in HOT.items():
        paths.setdefault(path, {})["post"] = _inference(path, surface, schemas, models)
    for (method, path), operation in PLAIN.items():
        paths.setdefault(path, {})[method] = _operation(method, path, operation, schemas)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Moorage",
            "version": moorage.__version__,
            "summary": "Self-hosted serving of language, embedding and speech models",
            "description": ABOUT.format(keys=_WITH_KEYS if keys else _WITHOUT_KEYS),
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{name: []} for name in _SCHEMES] if keys else [],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": named,
            "responses": refusals(schemas[ErrorReply]),
            "headers": HEADERS,
            **({"securitySchemes": _SCHEMES} if keys else {}),
        },
    }


def _replied(operation: Operation) -> list[type]:
    kinds = [kind for each in operation.replies.values() for kind in each]
    return [*kinds, *operation.events, *([operation.not_ready] if operation.not_ready else [])]


def _name_models(named: dict[str, Json]) -> None:
    """The gateway reads this field, and gives engines the name they know; the types are those of the engines."""
    about = "A model's id, or another of its names; may be left out where only one is for the task."
    for surface in HOT.values():
        for kind in INFERENCE[surface.name].request:
            name = {"type": "string", "minLength": 1} if surface.form else {"type": ["string", "null"]}
            named[kind.__name__]["properties"]["model"] = {**name, "description": about}


def _add_files(named: dict[str, Json]) -> None:
    """The part of a form that holds its file is no field of the declared types."""
    for operation in (INFERENCE[surface.name] for surface in HOT.values() if surface.form):
        for kind in operation.request:
            schema = named[kind.__name__]
            about = "The recording, in any format that FFmpeg reads."
            file = {"type": "string", "format": "binary", "description": about}
            schema["properties"] = {FILE: file, **{name: _of_form(each) for name, each in schema["properties"].items()}}
            schema["propertyNames"] = {"pattern": r"^[^\u0000-\u001f\u007f\"\\]*$"}
            schema["required"] = [FILE, *(name for name in schema.get("required", ()) if name != FILE)]


def _of_form(schema: Json) -> Json:
    """A form has no null: what is not wanted is left out."""
    result = dict(schema)
    if isinstance(result.get("type"), list):
        result["type"] = next(kind for kind in result["type"] if kind != "null")
    if "enum" in result:
        result["enum"] = [word for word in result["enum"] if word is not None]
    if "anyOf" in result:
        result["anyOf"] = [each for each in result["anyOf"] if each != {"type": "null"}]
    return result


def _inference(path: str, surface: Surface, schemas: Schemas, models: Models) -> Json:
    operation = INFERENCE[surface.name]
    content: Json = {"schema": one_of(operation.request, schemas.__getitem__)}
    if bodies := examples(surface.name, surface.tasks, models):
        content["examples"] = bodies
    described = _operation("post", path, operation, schemas)
    tasks = ", ".join(surface.tasks)
    described["description"] = f"{operation.about} For models to {tasks}.".strip()
    described["requestBody"] = {"required": True, "content": {FORM if surface.form else JSON: content}}
    return described


def _operation(method: str, path: str, operation: Operation, schemas: Schemas) -> Json:
    described: Json = {
        "operationId": "_".join([method, *(part.strip("{}") for part in path.split("/") if part)]).replace(".", "_"),
        "tags": [operation.tag],
        "summary": operation.summary,
    }
    if operation.about:
        described["description"] = operation.about
    if operation.parameters:
        described["parameters"] = [_parameter(each) for each in operation.parameters]
    if operation.keyless:
        described["security"] = []
    if operation.request and path not in HOT:
        needed = any(field.required for kind in operation.request for field in msgspec.structs.fields(kind))
        content: Json = {JSON: {"schema": one_of(operation.request, schemas.__getitem__)}}
        described["requestBody"] = {"required": needed, "content": content}
    described["responses"] = responses(operation, schemas.__getitem__)
    return described


def _parameter(parameter: Parameter) -> Json:
    described: Json = {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.about,
        "required": parameter.place == "path",
        "schema": dict(parameter.schema),
    }
    return described if parameter.example is None else described | {"example": parameter.example}
