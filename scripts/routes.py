"""docs/reference/routes.md, written from the document that a gateway serves as /openapi.json."""

from collections.abc import Iterator
from typing import Any

from moorage.config.defaults import default_models
from moorage.gateway.openapi.document import document

Json = dict[str, Any]

INTRO = """Every gateway serves the document behind this page as `/openapi.json` (OpenAPI 3.1), and shows it at `/docs`
(Swagger UI, to try routes) and `/redoc`. Nothing of it is fetched from elsewhere, and none of it needs a key."""


def page(note: str) -> str:
    found = document({"generate": default_models()[0].name}, keys=True)
    parts = [note, "# Routes", INTRO, *_about(found["info"]["description"])]
    for tag in found["tags"]:
        rows = [row for row in _rows(found) if row[0] == tag["name"]]
        parts += [
            f"## {tag['name']}",
            tag["description"],
            _table(("route", "", "takes", "answers"), [row[1:] for row in rows]),
        ]
    parts += ["## Statuses", "Besides 200, with an [ErrorReply](#errorreply) as body.", _statuses(found)]
    parts += ["## Bodies", "Fields in **bold** are required, of replies always there."]
    for name, schema in found["components"]["schemas"].items():
        parts += [f"### {name}", *_type(schema)]
    return "\n\n".join(parts) + "\n"


def _about(description: str) -> Iterator[str]:
    """Without the paragraph that depends on the server's keys, and the first, which the title says."""
    yield from (part.replace("\n", " ").strip() for part in description.split("\n\n")[1:])


def _rows(found: Json) -> Iterator[tuple[str, str, str, str, str]]:
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            taken = operation.get("requestBody", {}).get("content", {})
            given = operation["responses"]["200"].get("content", {})
            about = ". ".join(
                text.rstrip(".") for text in (operation["summary"], operation.get("description", "")) if text
            )
            yield (
                operation["tags"][0],
                f"`{method.upper()} {path}`",
                about + ("" if operation.get("security", True) else ". Needs no key") + ".",
                "; ".join(_content(media, content) for media, content in taken.items()) or _parameters(operation),
                "; ".join(_content(media, content) for media, content in given.items()),
            )


def _parameters(operation: Json) -> str:
    queries = [each for each in operation.get("parameters", ()) if each["in"] == "query"]
    return " ".join(f"`{each['name']}`: {each['description']}" for each in queries)


def _content(media: str, content: Json) -> str:
    kind = media.partition(";")[0]
    schema = content["schema"]
    if kind == "text/event-stream":
        data = schema["properties"]["data"]["anyOf"][0]["contentSchema"]
        names = [each for each in _names(data) if each != "ErrorReply"]
        return f"events of {' or '.join(map(_link, names))}"
    names = [_link(name) for name in _names(schema)]
    if kind == "application/json" and names:
        return " or ".join(names)
    return f"`{kind}`" + (f" with {' or '.join(names)}" if names else "")


def _names(schema: Json) -> list[str]:
    return [each["$ref"].rpartition("/")[2] for each in schema.get("anyOf", [schema]) if "$ref" in each]


def _link(name: str) -> str:
    return f"[{name}](#{name.lower()})"


def _statuses(found: Json) -> str:
    rows: dict[str, str] = {}
    for methods in found["paths"].values():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                if "$ref" in response:
                    rows[status] = found["components"]["responses"][response["$ref"].rpartition("/")[2]]["description"]
    return _table(("status", ""), [(status, text) for status, text in sorted(rows.items())])


def _type(schema: Json) -> Iterator[str]:
    if text := schema.get("description"):
        yield text
    required = schema.get("required", ())
    rows = [
        (
            f"**`{name}`**" if name in required else f"`{name}`",
            _of(field, name in required),
            field.get("description", ""),
        )
        for name, field in schema.get("properties", {}).items()
    ]
    if rows:
        yield _table(("field", "kind", ""), rows)


def _of(field: Json, required: bool) -> str:
    """Null is as good as left out, but where the field is always there."""
    nullable = "null" in field.get("type", ()) or {"type": "null"} in field.get("anyOf", ())
    return f"{_kind(field)} or null" if required and nullable else _kind(field)


def _kind(schema: Json) -> str:
    """In words: what may stand there, without null."""
    if "$ref" in schema:
        return _link(schema["$ref"].rpartition("/")[2])
    if "enum" in schema:
        return ", ".join(f"`{word}`" for word in schema["enum"] if word is not None) or "nothing"
    if "anyOf" in schema:
        kinds = [_inner(each) for each in schema["anyOf"] if each != {"type": "null"}]
        return " or ".join(dict.fromkeys(kinds))
    kinds: str | list[str] = schema.get("type", "any")
    name = kinds if isinstance(kinds, str) else next(each for each in kinds if each != "null")
    if name == "array":
        return f"array of {_inner(schema.get('items', {}))}" + _bounds(schema, "Items", " entries")
    if name == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_inner(schema['additionalProperties'])}"
    return name + _bounds(schema, "Length", " characters") + _bounds(schema, "imum", "")


def _inner(schema: Json) -> str:
    kind = _kind(schema)
    return f"({kind})" if ", " in kind else kind


def _bounds(schema: Json, what: str, unit: str) -> str:
    low, high, above = schema.get(f"min{what}"), schema.get(f"max{what}"), schema.get("exclusiveMinimum")
    if what == "imum" and above is not None:
        return f", more than {above}" + ("" if high is None else f", up to {high}")
    if unit and low == 1:
        return ", not empty" + ("" if high is None else f", up to {high}{unit}")
    if low is None:
        return "" if high is None else f", up to {high}{unit}"
    return f", at least {low}{unit}" if high is None else f", {low} to {high}{unit}"


def _table(columns: tuple[str, ...], rows: list[Any]) -> str:
    lines = [columns, tuple("---" for _ in columns), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines
    )
