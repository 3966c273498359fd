"""A JSON schema as an EBNF grammar: whatever the grammar allows fits the schema.

The reverse need not hold: properties come in the schema's order, objects that name their properties have no others,
and spaces are `", "` and `": "`, since a weak model given the choice writes spaces without end. What cannot be kept is
refused, never left out.
"""

import json
from decimal import Decimal
from typing import Any, cast

from moorage.runtimes.openvino.grammar import numerals, strings
from moorage.runtimes.openvino.grammar.merge import merged
from moorage.runtimes.openvino.grammar.notation import EMPTY, Unfit, counted, either, quoted
from moorage.runtimes.openvino.grammar.weight import of_optional, of_text, weight

Json = dict[str, Any]

KINDS = ("object", "array", "string", "number", "integer", "boolean", "null")
REFUSED = frozenset(
    {"not", "if", "then", "else", "dependentRequired", "dependentSchemas", "dependencies", "contains", "multipleOf"}
    | {"unevaluatedItems", "unevaluatedProperties", "propertyNames", "$dynamicRef", "$recursiveRef"}
)
TELLING = {
    "object": ("properties", "required", "additionalProperties", "patternProperties", "minProperties", "maxProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems"),
    "string": ("pattern", "format", "minLength", "maxLength"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
}
"""Keywords that tell the kind of value where `type` does not."""
RULES_MAX = 2000
VALUES_MAX = 10_000
"""References that say more are followed each time anew: thirty that lead to the next one twice are a thousand million
values."""
CHARS_MAX = 4_000_000
"""Of all rules and their parts, as they are put together."""
WEIGHT_MAX = 50_000
"""Of all that differs: about a second and a half, once a schema, in which the engine does nothing else."""
ITEMS_MAX = 1000
"""A count beyond it is left open above, and refused below."""
ALTERNATIVES = ("anyOf", "oneOf")


def ebnf(schema: Json) -> str:
    """The grammar of `schema`. Raises Unfit."""
    return _Grammar(schema).text()


class _Grammar:
    def __init__(self, schema: Json) -> None:
        self._schema = schema
        self._rules: dict[str, str] = {}
        self._named: dict[str, str] = {}
        """Rules by what they are of: a reference, or an expression that is needed again."""
        self._around: frozenset[str] = frozenset()
        """References that lead here with nothing written in between."""
        self._values = 0
        self._chars = 0
        self._weight = 0

    def text(self) -> str:
        root = self._reference("#")
        lines = [f"root ::= {root}", *(f"{name} ::= {body}" for name, body in self._rules.items())]
        text = "\n".join(lines) + "\n"
        self._charge(of_text(text))
        return text

    def _rule(self, key: str, body: str) -> str:
        if key not in self._named:
            self._named[key] = self._new(body)
            self._charge(weight(body))
        return self._named[key]

    def _charge(self, cost: int) -> None:
        self._weight += cost
        if self._weight > WEIGHT_MAX:
            raise Unfit(
                "its patterns, lengths, bounds and optional properties are too much for OpenVINO GenAI: leave some "
                "out, give several the same, or run the model with engine: llama.cpp"
            )

    def _new(self, body: str) -> str:
        name = f"r{len(self._rules)}"
        self._rules[name] = body
        if len(self._rules) > RULES_MAX:
            raise Unfit("it is too large")
        return name

    def _reference(self, pointer: str) -> str:
        """A rule of its own, which may come again within itself."""
        if pointer in self._around:
            raise Unfit("$ref leads around in a circle")
        if pointer not in self._named:
            self._named[pointer] = name = self._new("")
            around = self._around
            self._around = around | {pointer}
            self._rules[name] = self._value(self._found(pointer))
            self._around = around
        return self._named[pointer]

    def _found(self, pointer: str) -> Any:
        if pointer != "#" and not pointer.startswith("#/"):
            raise Unfit(f"$ref {pointer!r} leads outside of the schema")
        place: Any = self._schema
        for part in pointer.split("/")[1:]:
            part = part.replace("~1", "/").replace("~0", "~")
            if isinstance(place, dict) and part in place:
                place = cast("Json", place)[part]
            elif isinstance(place, list) and part.isdecimal() and int(part) < len(cast("list[Any]", place)):
                place = cast("list[Any]", place)[int(part)]
            else:
                raise Unfit(f"$ref {pointer!r} leads nowhere")
        return place

    def _value(self, schema: Any) -> str:
        self._values += 1
        if self._values > VALUES_MAX:
            raise Unfit("it is too large")
        expression = self._expression(schema)
        self._chars += len(expression)
        if self._chars > CHARS_MAX:
            raise Unfit("it is too large")
        return expression

    def _expression(self, schema: Any) -> str:
        if schema is True:
            return self._any()
        if not isinstance(schema, dict):
            raise Unfit(f"{schema!r} allows nothing" if schema is False else f"{schema!r} is no schema")
        known = cast("Json", schema)
        if "$ref" in known and not _meaning(known) - {"$ref"}:
            return self._reference(str(known["$ref"]))
        parts: Any = known.get("allOf")
        if _meaning(known) == {"allOf"} and isinstance(parts, list) and len(cast("list[Any]", parts)) == 1:
            # How pydantic 1 writes a reference beside a description: it may lead back to where it is.
            return self._value(parts[0])
        known = self._flat(known, 0)
        if refused := sorted(REFUSED & known.keys()):
            raise Unfit(f"{refused[0]} cannot be kept")
        for key in ALTERNATIVES:
            if key in known:
                rest = {name: value for name, value in known.items() if name != key}
                return self._alternatives(key, known[key], rest)
        if "const" in known or "enum" in known:
            return self._literals(known)
        kinds = _kinds(known)
        return either(self._kind(kind, known) for kind in kinds) if kinds else self._any()

    def _flat(self, schema: Json, depth: int) -> Json:
        """Without $ref and allOf: what they say, said at once."""
        if depth > 32:
            raise Unfit("$ref leads around in a circle")
        parts = [self._found(str(schema["$ref"]))] if "$ref" in schema else []
        parts += cast("list[Any]", schema.get("allOf") or [])
        result = {key: value for key, value in schema.items() if key not in ("$ref", "allOf")}
        for part in parts:
            if part is True:
                continue
            if not isinstance(part, dict):
                raise Unfit(f"{part!r} allows nothing")
            result = merged(result, self._flat(cast("Json", part), depth + 1))
        return result

    def _alternatives(self, key: str, given: Any, rest: Json) -> str:
        if not isinstance(given, list) or not given:
            raise Unfit(f"{key} has no alternatives")
        parts = cast("list[Any]", given)
        if not _meaning(rest):
            return either(self._value(part) for part in parts)
        return either(self._value({"allOf": [rest, part]}) for part in parts)

    def _literals(self, schema: Json) -> str:
        values = [schema["const"]] if "const" in schema else cast("list[Any]", schema["enum"])
        if "const" in schema and "enum" in schema and schema["const"] not in schema["enum"]:
            values = []
        kinds = _listed(schema.get("type"))
        fitting = [value for value in values if not kinds or any(_is(value, kind) for kind in kinds)]
        if not fitting:
            raise Unfit("enum has no value that fits")
        return either(quoted(json.dumps(value, ensure_ascii=False)) for value in fitting)

    def _kind(self, kind: str, schema: Json) -> str:
        if kind in ("object", "array"):
            around, self._around = self._around, frozenset()
            written = self._object(schema) if kind == "object" else self._array(schema)
            self._around = around
            return written
        if kind == "string":
            body = _string(schema)
        elif kind in ("number", "integer"):
            body = _number(schema, whole=kind == "integer")
        else:
            return '("true" | "false")' if kind == "boolean" else '"null"'
        return self._rule(body, body)

    def _object(self, schema: Json) -> str:
        properties = cast("Json", schema.get("properties") or {})
        required = [str(name) for name in schema.get("required") or ()]
        least, most = int(schema.get("minProperties", 0)), schema.get("maxProperties")
        missing = [name for name in required if name not in properties]
        further = _further(schema)
        if missing and further is False:
            raise Unfit(f"{missing[0]!r} is required and not allowed")
        if properties or missing:
            named = {**properties, **dict.fromkeys(missing, further)}
            if least > len(required) or (most is not None and int(most) < len(named)):
                raise Unfit("minProperties and maxProperties beside properties cannot be kept")
            return f'"{{" {self._named_pairs(named, frozenset(required))} "}}"'
        if further is False:
            if least:
                raise Unfit("minProperties asks for properties, and none are allowed")
            return '"{}"'
        key, value = self._free_key(schema), self._value(further)
        pair = self._rule(f"pair {key} {value}", f'{key} ": " {value}')
        return f'"{{" {_listing(pair, least, None if most is None else int(most))} "}}"'

    def _named_pairs(self, named: Json, required: frozenset[str]) -> str:
        """In their order, the optional ones or not, with commas between those there are."""
        pairs = [
            f"{quoted(json.dumps(name, ensure_ascii=False) + ': ')} {self._value(of)}" for name, of in named.items()
        ]
        self._charge(of_optional(len(named.keys() - required)))
        first, later = EMPTY, EMPTY
        for pair, name in reversed(list(zip(pairs, named, strict=True))):
            pair = self._new(pair)
            behind = f'", " {pair} {later}' if name in required else f'(", " {pair})? {later}'
            begin = f"{pair} {later}" if name in required else f"({pair} {later} | {first})"
            first, later = self._new(begin), self._new(behind)
        return first

    def _free_key(self, schema: Json) -> str:
        patterns = list(cast("Json", schema.get("patternProperties") or {}))
        if len(patterns) > 1:
            raise Unfit("several patternProperties cannot be kept")
        body = strings.matching(patterns[0]) if patterns else strings.STRING
        return self._rule(body, body)

    def _array(self, schema: Json) -> str:
        if schema.get("uniqueItems") and (schema.get("maxItems") or 2) > 1:
            raise Unfit("uniqueItems cannot be kept")
        least, most = int(schema.get("minItems", 0)), schema.get("maxItems")
        most = None if most is None else int(most)
        if most is not None and most < least:
            raise Unfit(f"no array has at least {least} items and at most {most}")
        first = [self._value(part) for part in cast("list[Any]", schema.get("prefixItems") or [])][:most]
        items = schema.get("items", True)
        if first:
            more = max(least - len(first), 0), None if most is None else most - len(first)
            if items is False or more[1] == 0:
                if more[0]:
                    raise Unfit("minItems asks for more items than are allowed")
                return '"[" ' + ' ", " '.join(first) + ' "]"'
            rest = counted(f'(", " {self._value(items)})', *_within(*more))
            return '"[" ' + ' ", " '.join(first) + f' {rest} "]"'
        if items is False or most == 0:
            if least:
                raise Unfit("minItems asks for items, and none are allowed")
            return '"[]"'
        item = self._value(items)
        # Written twice in a list: an array of arrays of arrays would double each time.
        return f'"[" {_listing(self._rule(item, item), least, most)} "]"'

    def _any(self) -> str:
        if "any" not in self._named:
            self._named["any"] = name = self._new("")
            scalars = [self._kind(kind, {}) for kind in ("string", "number", "boolean", "null")]
            pair = self._new(f'{self._kind("string", {})} ": " {name}')
            self._rules[name] = either(
                [*scalars, f'"{{" {_listing(pair, 0, None)} "}}"', f'"[" {_listing(name, 0, None)} "]"']
            )
        return self._named["any"]


def _meaning(schema: Json) -> set[str]:
    """Keywords that say something of values."""
    silent = ("title", "description", "default", "examples", "definitions", "deprecated", "readOnly", "writeOnly")
    return {key for key in schema if key not in silent and (key == "$ref" or not key.startswith("$"))}


def _listed(kinds: Any) -> list[str]:
    if kinds is None:
        return []
    found = cast("list[Any]", kinds) if isinstance(kinds, list) else [kinds]
    for kind in found:
        if kind not in KINDS:
            raise Unfit(f"type {kind!r} is none of {', '.join(KINDS)}")
    return [str(kind) for kind in found]


def _kinds(schema: Json) -> list[str]:
    return _listed(schema.get("type")) or [
        kind for kind, words in TELLING.items() if any(word in schema for word in words)
    ]


def _is(value: Any, kind: str) -> bool:
    if kind in ("number", "integer"):
        return isinstance(value, int if kind == "integer" else (int, float)) and not isinstance(value, bool)
    kinds: dict[str, type[Any]] = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    return isinstance(value, kinds[kind])


def _further(schema: Json) -> Any:
    """What properties without a name in the schema must be."""
    patterns = cast("Json", schema.get("patternProperties") or {})
    if patterns and not schema.get("properties"):
        return next(iter(patterns.values()))
    return schema.get("additionalProperties", True)


def _string(schema: Json) -> str:
    least, most = int(schema.get("minLength", 0)), schema.get("maxLength")
    bounded = least > 0 or most is not None
    if "pattern" in schema or "format" in schema:
        if bounded or ("pattern" in schema and "format" in schema):
            raise Unfit("pattern, format and a length together cannot be kept: say it all in the pattern")
        return strings.matching(str(schema["pattern"])) if "pattern" in schema else strings.formatted(schema["format"])
    return strings.string(least, most)


def _number(schema: Json, *, whole: bool) -> str:
    low, above = _bound(schema, "minimum", "exclusiveMinimum", max)
    high, below = _bound(schema, "maximum", "exclusiveMaximum", min)
    if not whole:
        return numerals.number(low, high, above=above, below=below)
    if low is not None:
        low = low.to_integral_value("ROUND_FLOOR") + 1 if above else low
    if high is not None:
        high = high.to_integral_value("ROUND_CEILING") - 1 if below else high
    far = numerals.FAR
    if low is not None and high is not None and low <= -far and high >= far:
        return numerals.whole(None, None)
    return numerals.whole(low, high)


def _bound(schema: Json, including: str, without: str, closer: Any) -> tuple[Decimal | None, bool]:
    """A bound, and whether it is not itself allowed."""
    open_at, closed_at = schema.get(without), schema.get(including)
    if isinstance(open_at, bool):  # as JSON Schema had it before its draft 6
        return (None if closed_at is None else Decimal(str(closed_at))), open_at
    found = [Decimal(str(value)) for value in (open_at, closed_at) if value is not None]
    if not found:
        return None, False
    bound = closer(found)
    return bound, open_at is not None and bound == Decimal(str(open_at))


def _listing(item: str, least: int, most: int | None) -> str:
    """`item` so many times, with commas."""
    if most is not None and most < max(least, 1):
        return EMPTY
    count = _within(max(least - 1, 0), None if most is None else most - 1)
    more = f'(", " {item})'
    some = f"{item} {counted(more, *count)}"
    return some if least else f"({some})?"


def _within(least: int, most: int | None) -> tuple[int, int | None]:
    if least > ITEMS_MAX:
        raise Unfit(f"more than {ITEMS_MAX} items cannot be asked for")
    if most is not None and most > ITEMS_MAX:
        raise Unfit(f"a bound of more than {ITEMS_MAX} items cannot be kept: leave it out")
    return least, most
