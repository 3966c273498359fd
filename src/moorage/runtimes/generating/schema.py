"""JSON schemas as the grammars of engines want them."""

import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, cast

import msgspec

from moorage.errors import BadRequest

Json = dict[str, Any]

DEPTH_MAX = 64
MOST = {"minItems": 10_000, "maxItems": 10_000, "multipleOf": 100_000}
"""Numbers beyond which a schema costs seconds or gigabytes."""
CHARS_PER_TOKEN = 2
"""A cautious guess: plain text has three to four, digits and symbols about one."""
SHORTEST = 8
SMALL_MODEL = 1_000_000_000
"""Parameters below which a model is not trusted to end what it writes."""
SMALL_MODEL_TOKENS = 192
ITEM_CHARS = 48
"""An unbounded array may hold one item for so many characters of its share."""
WHOLE_NUMBER_MAX = 2**53 - 1
FREE_FORM = ("properties", "patternProperties", "additionalProperties", "$ref", "anyOf", "oneOf", "allOf")


class Bound(int):
    """The length of a string that we bound, not the client: an engine may choose another."""


def checked(schema: Json, param: str) -> Json:
    """`schema`, if it asks for nothing that a grammar should not be made of. The grammar checks the rest.

    llguidance (llama.cpp) bounds its own work, but for two things: it unrolls counts of items (10 million took 9 GB, a
    thousand million the process), and builds an automaton of as many states as `multipleOf` has.
    """
    if _depth(schema, 0) > DEPTH_MAX:
        raise BadRequest(f"{param} is nested deeper than {DEPTH_MAX} levels", param=param, code="invalid_schema")
    for key, value in _numbers(schema):
        most = MOST.get(key)
        if most is not None and _significand(value) > most:
            raise BadRequest(
                f"{param} has {key} {value!r}; more than {most} is too much for a grammar",
                param=param,
                code="invalid_schema",
            )
    return schema


def moved(schema: Any, place: str) -> Any:
    """`schema` as a part of another, at `place` (a JSON pointer): its references to itself go there."""
    if isinstance(schema, list):
        return [moved(item, place) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    result: Json = {key: moved(value, place) for key, value in cast("Json", schema).items()}
    reference = result.get("$ref")
    if isinstance(reference, str) and (reference == "#" or reference.startswith("#/")):
        result["$ref"] = place + reference.removeprefix("#")
    return result


def budget(tokens: int, parameters: int) -> int:
    """How many of `tokens` a forced call of a model of that size should be planned for.

    A small model in a string may never write the closing quote: SmolLM2-135M was seen to fill 3,268 of 8,192 tokens
    with one call. A model that knows when to stop is not cut short.
    """
    return min(tokens, SMALL_MODEL_TOKENS) if parameters < SMALL_MODEL else tokens


def bounded(schema: Json, budget_tokens: int) -> Json:
    """A narrower schema whose values end within about `budget_tokens`: what fits it fits `schema`.

    Each unbounded string gets its share of the characters that the call can write at all, each unbounded array a
    number of items, each open integer the range of exact ones, and objects that name their properties take no others.
    Bounds the schema states itself are left alone.
    """
    overhead = len(msgspec.json.encode(schema)) // 2
    chars = max(CHARS_PER_TOKEN * budget_tokens - overhead, SHORTEST)
    narrowed = _bounded(schema, chars)
    if narrowed.get("type", "object") == "object" and not any(key in narrowed for key in FREE_FORM):
        # OpenAI: a function without parameters takes an empty object.
        narrowed |= {"properties": {}, "additionalProperties": False}
    return narrowed


def _bounded(schema: Json, chars: int) -> Json:
    result = dict(schema)
    for key in ("$defs", "definitions"):
        if isinstance(schema.get(key), dict):
            result[key] = {name: _inner(value, chars) for name, value in schema[key].items()}
    for key in ("anyOf", "oneOf"):
        if isinstance(schema.get(key), list):
            result[key] = [_inner(value, chars) for value in schema[key]]
    if "enum" in schema or "const" in schema:
        return result
    kinds: Any = schema.get("type")
    kinds = cast("list[Any]", kinds) if isinstance(kinds, list) else [kinds]
    if "object" in kinds or "properties" in schema:
        _bound_object(result, chars)
    if "array" in kinds:
        _bound_array(result, chars)
    if "string" in kinds and not any(key in schema for key in ("maxLength", "pattern", "format")):
        result["maxLength"] = Bound(max(chars, SHORTEST, _whole(schema.get("minLength"))))
    if "integer" in kinds and not any(
        key in schema for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
    ):
        result |= {"minimum": -WHOLE_NUMBER_MAX, "maximum": WHOLE_NUMBER_MAX}
    return result


def _bound_object(result: Json, chars: int) -> None:
    properties = result.get("properties")
    if isinstance(properties, dict) and properties:
        known = cast("Json", properties)
        result["properties"] = {name: _inner(value, chars // len(known)) for name, value in known.items()}
        if result.get("additionalProperties", True) is True and "patternProperties" not in result:
            result["additionalProperties"] = False


def _bound_array(result: Json, chars: int) -> None:
    least, most = _whole(result.get("minItems")), result.get("maxItems")
    if not isinstance(most, int):
        most = max(least, min(64, max(1, chars // ITEM_CHARS)))
        result["maxItems"] = most
    if "items" in result:
        result["items"] = _inner(result["items"], chars // max(most, 1))


def _inner(schema: Any, chars: int) -> Any:
    return _bounded(cast("Json", schema), chars) if isinstance(schema, dict) else schema


def _whole(value: Any) -> int:
    return math.ceil(value) if isinstance(value, (int, float)) and value > 0 else 0


def _numbers(value: Any) -> Iterator[tuple[str, int | float]]:
    """Every number in a schema, with its key."""
    if isinstance(value, dict):
        for key, item in cast("Json", value).items():
            if isinstance(item, (int, float)):
                yield key, item
            else:
                yield from _numbers(item)
    elif isinstance(value, list):
        for item in cast("list[Any]", value):
            yield from _numbers(item)


def _significand(value: int | float) -> Decimal:
    """The number without its decimal point: 0.25 counts as 25."""
    _, digits, exponent = Decimal(str(value)).as_tuple()
    return Decimal((0, digits, max(exponent, 0) if isinstance(exponent, int) else 0))


def _depth(value: Any, level: int) -> int:
    if level > DEPTH_MAX:
        return level
    if isinstance(value, dict):
        inner = list(cast("Json", value).values())
    elif isinstance(value, list):
        inner = cast("list[Any]", value)
    else:
        return level
    return max((_depth(item, level + 1) for item in inner), default=level)
