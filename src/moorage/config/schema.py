"""The JSON schema of `moorage.yaml`, for editors: takes what the loader takes, variables and empty values included."""

from typing import Any

from pydantic import TypeAdapter

from moorage.config.foreign.gateway import LATER, Later
from moorage.config.options import options
from moorage.config.tree import Config

_VARIABLE = {"type": "string", "pattern": r"\$", "description": "A text with ${VAR}, ${VAR:-default} or ${file:PATH}"}
_NOTHING = {"type": "null"}
_ABOUT = ("description", "default", "examples")


def schema() -> dict[str, Any]:
    """A JSON schema, draft 2020-12."""
    document = Config.model_json_schema()
    definitions: dict[str, Any] = document.pop("$defs")
    document["title"] = "moorage.yaml"
    for section in (document, *definitions.values()):
        section["properties"] = {name: _loose(value) for name, value in section["properties"].items()}
    for name in definitions:
        del definitions[name]["title"]
    keys = next(kind for kind in definitions["Auth"]["properties"]["keys"]["anyOf"] if "items" in kind)
    keys["items"] = {"anyOf": [keys["items"], {"type": "string", "minLength": 1}]}
    definitions["ApiKey"]["required"].remove("name")
    definitions["ModelSpec"]["anyOf"] = [{"required": ["source"]}, {"required": ["url"]}]
    models = document["properties"]["models"]
    models["anyOf"].append({"type": "array", "items": {"$ref": "#/$defs/ModelSpec"}})
    _add_facts(document, definitions)
    _add_later(document, definitions)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **document, "$defs": definitions}


def _loose(value: dict[str, Any]) -> dict[str, Any]:
    """The schema of one option as it may be written: also by a variable, also left empty."""
    about = {key: value[key] for key in _ABOUT if key in value and "$ref" not in value}
    about |= {"description": value["description"]} if "description" in value else {}
    core = {key: item for key, item in value.items() if key not in (*_ABOUT, "title")}
    alternatives: list[dict[str, Any]] = core.pop("anyOf", None) or [core]
    alternatives = [_filled_in(alternative) for alternative in alternatives]
    if not any(set(alternative) & {"$ref", "items", "additionalProperties"} for alternative in alternatives):
        alternatives.append(_VARIABLE)
    return {"anyOf": [*(a for a in alternatives if a != _NOTHING), _NOTHING], **about}


def _filled_in(alternative: dict[str, Any]) -> dict[str, Any]:
    items = alternative.get("items")
    if items is None or "$ref" in items:
        return alternative
    return {**alternative, "items": {"anyOf": [*(items.get("anyOf") or [items]), _VARIABLE]}}


def _add_facts(document: dict[str, Any], definitions: dict[str, Any]) -> None:
    """Give each option its default as people write it, and the variable that sets it, too."""
    for option in options(Config):
        section = document if option.owner is Config else definitions[option.owner.__name__]
        about = section["properties"][option.path[-1]]
        if about.get("default") is not None:
            about["default"] = option.default
        if option.environment:
            about["description"] += f" Environment: {option.environment}."


def _add_later(document: dict[str, Any], definitions: dict[str, Any]) -> None:
    """Options that are accepted and have no effect yet."""
    owners = {option.path: option.section.__name__ for option in options(Config) if option.section is not None}
    for path, row in LATER.items():
        owner = owners.get(tuple(str(part) for part in path[:-1]))
        section = document if len(path) == 1 else definitions[owner or ""]
        section["properties"][str(path[-1])] = _later(row)


def _later(row: Later) -> dict[str, Any]:
    about = {"description": f"No effect in this version: {row.why}."}
    values = {name: _loose(TypeAdapter[Any](kind).json_schema()) for name, kind in row.keys.items()}
    if "" in values:
        return {**values[""], **about}
    section = {"type": "object", "additionalProperties": False, "properties": values}
    return {"anyOf": [{"type": "array", "items": section} if row.many else section, _NOTHING], **about}
