"""JSON schemas of the types in `wire/api`, with what their docstrings say."""

import ast
import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any, cast, get_args

import msgspec
from msgspec import UNSET, Struct, structs

Json = dict[str, Any]

NULL: Json = {"type": "null"}
REFERENCE = "#/components/schemas/{name}"


def components(requests: Iterable[Any], replies: Iterable[Any]) -> tuple[dict[Any, Json], dict[str, Json]]:
    """Type → schema of all that is given, and the schemas these refer to, by name.

    A reply has every field that its type declares but those it may leave unset; of a request the required ones.
    """
    asked, said = list(requests), list(replies)
    kinds = list(dict.fromkeys([*asked, *said]))
    found, named = msgspec.json.schema_components(kinds, ref_template=REFERENCE)
    taken = set(struct_types(asked))
    words = Words(struct_types(kinds))
    for kind in struct_types(kinds):
        schema = named[kind.__name__]
        _describe(schema, kind, words)
        if kind not in taken:
            _make_reply(schema, kind)
    return dict(zip(kinds, map(_plain, found), strict=True)), {name: _plain(named[name]) for name in sorted(named)}


def struct_types(kinds: Iterable[Any]) -> list[type[Struct]]:
    """The structs among these types and in their fields, at any depth, each once."""
    found: dict[type[Struct], None] = {}
    waiting = list(kinds)
    while waiting:
        kind = waiting.pop(0)
        if isinstance(kind, type) and issubclass(kind, Struct):
            if kind not in found:
                found[kind] = None
                waiting += [field.type for field in structs.fields(kind)]
        else:
            waiting += get_args(kind)
    return list(found)


class Words:
    """What the sources say of fields: the string behind a field, else the one behind an alias in its type."""

    def __init__(self, kinds: Iterable[type[Struct]]) -> None:
        self._classes: dict[tuple[str, str], dict[str, ast.AnnAssign | str]] = {}
        self._aliases: dict[str, str] = {}
        modules = {base.__module__ for kind in kinds for base in kind.__mro__ if base.__module__.startswith("moorage.")}
        waiting = sorted(modules)
        while waiting:
            module = sys.modules[waiting.pop()]
            for node in self._read(module):
                if node.module and node.module.startswith("moorage.wire.") and node.module not in modules:
                    modules.add(node.module)
                    waiting.append(node.module)

    def of(self, kind: type[Struct], name: str) -> str:
        for base in kind.__mro__:
            said = self._classes.get((base.__module__, base.__name__), {}).get(name)
            if isinstance(said, str):
                return said
            if said is not None:
                names = [node.id for node in ast.walk(said.annotation) if isinstance(node, ast.Name)]
                return next((self._aliases[each] for each in names if each in self._aliases), "")
        return ""

    def _read(self, module: ModuleType) -> Iterator[ast.ImportFrom]:
        try:
            tree = ast.parse(inspect.getsource(module))
        except (OSError, TypeError):  # installed without sources: the schemas are the same, only silent
            return
        for node, text in _with_texts(tree.body):
            if isinstance(node, ast.ImportFrom):
                yield node
            elif isinstance(node, ast.Assign) and text and isinstance(node.targets[0], ast.Name):
                if not node.targets[0].id.isupper():  # the name of a number, not of a type
                    self._aliases[node.targets[0].id] = text
            elif isinstance(node, ast.ClassDef):
                self._classes[module.__name__, node.name] = {
                    field.target.id: said or field
                    for field, said in _with_texts(node.body)
                    if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
                }


def _with_texts(body: list[ast.stmt]) -> Iterator[tuple[ast.stmt, str]]:
    """Each statement with the string literal that follows it."""
    for node, behind in zip(body, [*body[1:], None], strict=True):
        said = behind.value if isinstance(behind, ast.Expr) else None
        text = said.value if isinstance(said, ast.Constant) and isinstance(said.value, str) else ""
        yield node, inspect.cleandoc(text)


def _describe(schema: Json, kind: type[Struct], words: Words) -> None:
    for field in structs.fields(kind):
        if text := words.of(kind, field.name):
            schema["properties"][field.encode_name] |= {"description": text}
    if not kind.__doc__:
        schema.pop("description", None)


def _make_reply(schema: Json, kind: type[Struct]) -> None:
    """Required is what is always sent; a field left out when it has no value is never null."""
    config = kind.__struct_config__
    required = [config.tag_field] if config.tag_field else []
    for field in structs.fields(kind):
        if field.required or (not config.omit_defaults and field.default is not UNSET):
            required.append(field.encode_name)
        elif config.omit_defaults and field.default is None:
            value = schema["properties"][field.encode_name]
            value["anyOf"] = [each for each in value["anyOf"] if each != NULL]
    schema["required"] = required


def _plain(schema: Any) -> Any:
    """Written shorter: without titles that repeat names and defaults that say "left out", `or null` as a type."""
    if isinstance(schema, list):
        return [_plain(item) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    result: Json = {key: _plain(value) for key, value in cast("Json", schema).items() if not _tells_nothing(key, value)}
    if isinstance(text := result.get("description"), str):
        result["description"] = re.sub(r"(?<!\n)\n(?!\n)", " ", text)
    words = result.get("enum")
    if isinstance(words, list) and all(isinstance(word, str) for word in cast("list[Any]", words)):
        result = {"type": "string", **result}
    if not isinstance(result.get("anyOf"), list):
        return result
    return _of_one_kind(result) if "items" in result else _joined(result)


def _tells_nothing(key: str, value: Any) -> bool:
    return (key == "title" and isinstance(value, str)) or (key == "default" and value in (None, "")) or value == []


def _joined(schema: Json) -> Json:
    """`anyOf` without unions in unions; a plain type or null as one type."""
    alternatives: list[Json] = []
    for each in schema["anyOf"]:
        flat = "anyOf" in each and set(each) <= {"anyOf", "discriminator"}
        alternatives += each["anyOf"] if flat else [each]
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    if len(alternatives) == 1:
        return alternatives[0] | rest
    if len(alternatives) == 2 and alternatives[1] == NULL and isinstance(alternatives[0].get("type"), str):
        first = alternatives[0]
        joined: Json = {**first, "type": [first["type"], "null"]}
        if "enum" in first:
            joined["enum"] = [*first["enum"], None]
        return joined | rest
    return {"anyOf": alternatives, **rest}


def _of_one_kind(schema: Json) -> Json:
    """An array whose entries are all of one kind, told as a kind of array each: pages cannot join the two."""
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "items")}
    kinds: Json = {each["type"]: each for each in schema["items"]["anyOf"]}
    return {"anyOf": [rest | each | {"items": kinds[each["items"]["type"]]} for each in schema["anyOf"]]}
