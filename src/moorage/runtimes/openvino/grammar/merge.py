"""Two schemas that must both hold, as one."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from moorage.runtimes.openvino.grammar.notation import Unfit

Json = dict[str, Any]

LARGER = frozenset({"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"})
SMALLER = frozenset({"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"})


def merged(first: Json, second: Json) -> Json:
    """Raises Unfit where one schema cannot say both."""
    result = dict(first)
    for key, value in second.items():
        result[key] = _both(key, result[key], value) if key in result else value
    return result


def _both(key: str, one: Any, other: Any) -> Any:
    if one == other or key.startswith("$") or key in ("title", "description", "default", "examples"):
        return one
    if key in LARGER:
        return max(one, other)
    if key in SMALLER:
        return min(one, other)
    if key in _HOW:
        return _HOW[key](one, other)
    raise Unfit(f"{key} is said twice of one value, {one!r} and {other!r}")


def _properties(one: Json, other: Json) -> Json:
    shared = {name: {"allOf": [one[name], other[name]]} for name in one if name in other}
    return {**one, **other, **shared}


def _required(one: list[str], other: list[str]) -> list[str]:
    return [*one, *(name for name in other if name not in one)]


def _types(one: Any, other: Any) -> list[str]:
    kinds = [_listed(one), _listed(other)]
    found = [kind for kind in kinds[0] if kind in kinds[1] or (kind == "integer" and "number" in kinds[1])]
    found += [kind for kind in kinds[1] if kind == "integer" and "number" in kinds[0] and kind not in found]
    if not found:
        raise Unfit(f"no value is both {one!r} and {other!r}")
    return found


def _listed(kinds: Any) -> list[str]:
    return cast("list[str]", kinds) if isinstance(kinds, list) else [kinds]


def _values(one: list[Any], other: list[Any]) -> list[Any]:
    return [value for value in one if value in other]


def _further(one: Any, other: Any) -> Any:
    if one is True or other is False:
        return other
    return one if one is False or other is True else {"allOf": [one, other]}


_HOW: Mapping[str, Callable[[Any, Any], Any]] = {
    "properties": _properties,
    "required": _required,
    "type": _types,
    "enum": _values,
    "items": _further,
    "additionalProperties": _further,
}
