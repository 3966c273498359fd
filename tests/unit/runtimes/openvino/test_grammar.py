"""Grammars held against what the schemas allow: everything a grammar writes must fit."""

import contextlib
import json
import random
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import jsonschema
import pytest

from moorage.errors import BadRequest
from moorage.runtimes.generating.schema import Bound
from moorage.runtimes.openvino.grammar import numerals, strings, weight
from moorage.runtimes.openvino.grammar.ebnf import ebnf
from moorage.runtimes.openvino.grammar.notation import Unfit
from moorage.runtimes.openvino.grammar.pattern import pattern
from moorage.runtimes.openvino.grammar.refusal import grammar

_TERM = re.compile(r'"((?:[^"\\]|\\.)*)"|(\[(?:[^\]\\]|\\.)*\])|([A-Za-z]\w*)|([()|?*+]|\{\d+(?:,\d*)?\})|\s+')
_ESCAPE = re.compile(r"\\(?:u([0-9A-F]{4})|U([0-9A-F]{8})|x([0-9a-f]{2})|(.))")
DEPTH = 6


def as_regex(rules: str | dict[str, str], start: str = "root", depth: int = DEPTH) -> str:
    """EBNF as a regular expression; rules within themselves go only so deep."""
    if isinstance(rules, str):
        rules = dict(line.split(" ::= ", 1) for line in rules.splitlines())
    found: list[str] = []
    for text, chars, name, sign in _TERM.findall(rules[start]):
        if name:
            found.append(f"(?:{as_regex(rules, name, depth - 1)})" if depth else "(?!)")
        elif chars:
            found.append("[" + _ESCAPE.sub(_char, chars[1:-1]) + "]")
        elif sign:
            found.append("(?:" if sign == "(" else sign)
        elif text:
            found.append("(?:" + re.escape(_ESCAPE.sub(_plain, text)) + ")")
    return "".join(found)


def _plain(match: re.Match[str]) -> str:
    code = match[1] or match[2] or match[3]
    return chr(int(code, 16)) if code else match[4]


def _char(match: re.Match[str]) -> str:
    return re.escape(_plain(match)) if match[1] or match[2] or match[3] or match[4] in '\\]["^-' else match[0]


def allows(expression: str, text: str) -> bool:
    return re.fullmatch(as_regex({"root": expression}), text) is not None


@pytest.mark.parametrize(
    ("low", "high"), [(0, 0), (-5, 1234), (7, None), (None, -3), (95, 105), (-20, -9), (1, 999), (0, 300), (10, 10)]
)
def test_whole_numbers_between_bounds(low: int | None, high: int | None) -> None:
    found = re.compile(as_regex({"root": numerals.whole(_decimal(low), _decimal(high))}))
    for number in range(-1500, 1500):
        inside = (low is None or low <= number) and (high is None or number <= high)
        assert (found.fullmatch(str(number)) is not None) == inside, number
    for text in ("", "-", "01", "-0", "1.0", "1e3", "+1"):
        assert found.fullmatch(text) is None, text


@pytest.mark.parametrize(
    ("low", "high", "above", "below"),
    [("0.5", "0.75", False, False), ("0", "1", True, True), ("-2.5", "10", False, True), ("0", None, True, False)],
)
def test_numbers_between_bounds(low: str | None, high: str | None, above: bool, below: bool) -> None:
    least, most = _decimal(low), _decimal(high)
    found = re.compile(as_regex({"root": numerals.number(least, most, above=above, below=below)}))
    for hundredths in range(-400, 1200):
        number = Decimal(hundredths) / 100
        inside = (least is None or number > least or (number == least and not above)) and (
            most is None or number < most or (number == most and not below)
        )
        assert (found.fullmatch(f"{number:.2f}") is not None) == (inside and not (number == 0 and hundredths < 0))


def test_the_range_of_a_double_is_no_bound() -> None:
    far = Decimal("1.7976931348623157e308")
    assert numerals.number(-far, far, above=False, below=False) == numerals.number(None, None, above=False, below=False)
    found = re.compile(as_regex({"root": numerals.number(Decimal(3), far, above=True, below=False)}))
    assert found.fullmatch("3.5")
    assert found.fullmatch("999999999999")
    assert not found.fullmatch("3")


def _decimal(value: str | int | None) -> Decimal | None:
    return None if value is None else Decimal(value)


@pytest.mark.parametrize(("low", "high"), [(5, 2), (1, 0)])
def test_no_number_is_there(low: int, high: int) -> None:
    with pytest.raises(Unfit):
        numerals.whole(Decimal(low), Decimal(high))


@pytest.mark.parametrize(
    "expression",
    [
        r"^a+$",
        r"^[A-Z]{2}-\d{3,5}$",
        r"ab|cd",
        r"^(?:yes|no)$",
        r"^\w+@\w+\.[a-z]{2,}$",
        r'^["\\]?x$',
        r"^[^0-9]*$",
        r"^a.c$",
        r"^\x41\u0042$",
        r"^[]x]+$",
    ],
)
def test_patterns(expression: str) -> None:
    found = re.compile(as_regex({"root": pattern(expression)}))
    wanted = re.compile(expression)
    samples = ["a", "aaa", "AB-123", "ab", "xabx", "cd", "yes", "no", "maybe", "me@b.de", '"x', "\\x", "x", "abc", "a9"]
    samples += ["AB", "]x", "", "a\nc", "é", "a c"]
    for sample in samples:
        written = json.dumps(sample, ensure_ascii=False)[1:-1]
        # A pattern may be kept more strictly, where characters would need an escape; never less.
        if found.fullmatch(written) is not None:
            assert wanted.search(sample), sample
        elif wanted.search(sample):
            assert written != sample, sample


@pytest.mark.parametrize(
    "expression",
    ["(", "a)", "[", "[z-a]", "a(?=b)", r"(a)\1", "a{3,2}", "a{999}", "*a", "a**", "a+?", r"\bx", "x" * 9999],
)
def test_patterns_that_cannot_be_kept(expression: str) -> None:
    with pytest.raises(Unfit):
        pattern(expression)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date", "2026-11-20", "2026-13-01"),
        ("date-time", "2026-11-20T12:00:59Z", "2026-11-20 12:00"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123"),
        ("email", "a.b@example.org", "a@b"),
        ("ipv4", "192.168.0.1", "256.1.1.1"),
        ("time", "23:59:59+02:00", "24:00:00Z"),
    ],
)
def test_formats(name: str, good: str, bad: str) -> None:
    assert allows(strings.formatted(name), f'"{good}"')
    assert not allows(strings.formatted(name), f'"{bad}"')


def test_lengths_of_strings() -> None:
    assert allows(strings.string(2, 4), '"abc"')
    for text in ('"a"', '"abcde"', '"a\\n"', "abc"):
        assert not allows(strings.string(2, 4), text)
    assert strings.string(0, Bound(300)) == strings.string(0, 64)
    assert strings.string(0, Bound(40)) == strings.string(0, Bound(32)) == strings.string(0, 32)
    assert strings.string(0, Bound(3)) == strings.string(0, 8)
    assert strings.string(20, Bound(9)) == strings.string(20, 20)
    assert strings.string(0, Bound(5000)) == strings.STRING
    with pytest.raises(Unfit, match="128"):
        strings.string(0, 500)


def test_bounds_that_together_would_take_too_long_are_refused() -> None:
    def lengths(first: int, last: int) -> dict[str, Any]:
        bounded = {f"p{length}": {"type": "string", "maxLength": length} for length in range(first, last)}
        return {"type": "object", "properties": bounded}

    assert ebnf(lengths(28, 40))
    with pytest.raises(Unfit, match="leave some out, give several the same"):
        ebnf(lengths(28, 128))
    same = {f"p{place}": {"type": "string", "maxLength": 100} for place in range(200)}
    assert ebnf({"type": "object", "properties": same})
    with pytest.raises(Unfit, match="too much for OpenVINO GenAI"):
        ebnf({"type": "array", "items": {"type": "string", "pattern": "^" + "(.{100}x)" * 12 + "$"}})


SCHEMAS: list[dict[str, Any]] = [
    {"type": "object", "properties": {"a": {"type": "null"}, "b": {"type": "boolean"}}, "required": ["b"]},
    {"type": "object", "properties": {"a": {"enum": [1, "x", None]}, "b": {"const": {"k": [1]}}}},
    {"properties": {"a": {"type": "integer"}}, "required": ["a", "b"], "additionalProperties": {"type": "null"}},
    {"type": "array", "items": {"type": "integer", "minimum": 3, "maximum": 17}, "minItems": 1, "maxItems": 3},
    {"type": "array", "prefixItems": [{"type": "null"}, {"type": "boolean"}], "items": False},
    {"type": "array", "prefixItems": [{"type": "null"}, {"type": "boolean"}], "maxItems": 1},
    {"type": ["string", "null"], "maxLength": 4},
    {"anyOf": [{"type": "string", "maxLength": 3}, {"type": "integer", "minimum": 0, "maximum": 3}]},
    {"type": "object", "additionalProperties": {"type": "boolean"}, "minProperties": 1, "maxProperties": 2},
    {"type": "object", "patternProperties": {"^x[0-9]$": {"type": "null"}}, "additionalProperties": False},
    {"allOf": [{"required": ["a"], "properties": {"a": {"type": "number"}}},
               {"properties": {"a": {"maximum": 2, "minimum": 1}}}]},
    {"$ref": "#/$defs/pair", "$defs": {"pair": {"items": {"enum": ["p", "q"]}, "minItems": 2, "maxItems": 2}}},
    {"properties": {"n": {"$ref": "#/$defs/n", "maximum": 5}}, "$defs": {"n": {"type": "integer", "minimum": 1}}},
    {"type": "object"},
    {"oneOf": [{"const": 1}, {"const": "one"}]},
    {"properties": {"deep": {"properties": {"x": {"type": "string", "pattern": "^[a-c]{1,3}$"}}, "required": ["x"]}}},
]  # fmt: skip
VALUES: list[Any] = [
    None, True, 0, 1, 2, 3, 5, 17, 18, 1.5, "", "x", "abcd", "abcde", [], [None], [None, True], [3], [3, 17, 4], [1, 2],
    ["p", "q"], ["p"], {}, {"a": 1}, {"a": None}, {"b": True}, {"a": None, "b": True}, {"a": 1, "b": None},
    {"x1": None},
    {"x": None}, {"k": True}, {"k": True, "l": False}, {"a": 1.5}, {"a": 3}, {"n": 5}, {"n": 6}, {"deep": {"x": "ab"}},
    {"deep": {"x": "d"}}, {"deep": {}}, {"a": "x"}, {"b": {"k": [1]}}, {"a": 1, "b": {"k": [1]}}, "one",
]  # fmt: skip


@pytest.mark.parametrize("schema", SCHEMAS, ids=json.dumps)
def test_what_a_grammar_allows_fits_its_schema(schema: dict[str, Any]) -> None:
    found = re.compile(as_regex(ebnf(schema)))
    accepted = 0
    for value in VALUES:
        if found.fullmatch(json.dumps(value)):
            jsonschema.validate(value, schema)
            accepted += 1
    assert accepted, "it allows nothing of what fits"
    assert not found.fullmatch("{")
    assert not found.fullmatch("")


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "strange"}, "'strange' is none of"),
        ({"$ref": "#/$defs/missing"}, "leads nowhere"),
        ({"$ref": "http://elsewhere/x"}, "leads outside"),
        ({"type": "string", "pattern": "("}, "ends too soon|not closed"),
        ({"type": "string", "format": "no such format"}, "is unknown; known are"),
        ({"type": "integer", "minimum": 5, "maximum": 2}, "no whole number is between 5 and 2"),
        ({"enum": []}, "enum has no value"),
        ({"type": "string", "enum": [1]}, "enum has no value"),
        ({"type": "integer", "multipleOf": 7}, "multipleOf cannot be kept"),
        ({"not": {}}, "not cannot be kept"),
        ({"type": "array", "uniqueItems": True}, "uniqueItems cannot be kept"),
        ({"type": "array", "minItems": 3, "maxItems": 2}, "at least 3 items and at most 2"),
        ({"type": "string", "minLength": 3, "maxLength": 2}, "at least 3 characters and at most 2"),
        ({"type": "object", "properties": {"a": False}, "required": ["a"]}, "allows nothing"),
        ({"type": "object", "required": ["a"], "additionalProperties": False}, "is required and not allowed"),
        ({"type": "string", "minLength": "three"}, "it is no JSON schema"),
        ({"allOf": [{"$ref": "#"}]}, "leads around in a circle"),
        ({"anyOf": []}, "has no alternatives"),
        ({"$ref": "#"}, "leads around in a circle"),
        ({"anyOf": [{"$ref": "#"}, {"type": "null"}]}, "leads around in a circle"),
        ({"anyOf": [{"$ref": "#", "minimum": 0}, {"type": "integer"}]}, "leads around in a circle"),
        ({"properties": {"a": {"$ref": "#", "title": "A", "type": "object"}}}, "nested too deeply, or leads around"),
        ({"type": "string", "pattern": f"^{'(' * 400}a{')' * 400}$"}, "nested too deeply"),
        ({"type": "string", "pattern": "^(((a{128}){128}){128}){128}$"}, "too much for OpenVINO GenAI"),
        ({"type": "string", "pattern": f"^{'.{0,128}' * 100}$"}, "too much for OpenVINO GenAI"),
        ({"properties": {f"p{size}": {"type": "string", "maxLength": size} for size in range(100, 128)}}, "too much"),
        ({"type": "string", "pattern": f"^{'.*' * 300}x$"}, "too much for OpenVINO GenAI"),
        ({"type": "string", "pattern": "^((a?){128}){100}$"}, "too much for OpenVINO GenAI"),
        ({"properties": {f"p{place}": {"type": "null"} for place in range(400)}}, "too much for OpenVINO GenAI"),
        ({"enum": ["x" * 300_000]}, "too much for OpenVINO GenAI"),
        ({"enum": ["x" * 5_000_000]}, "too large"),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_schemas_that_cannot_be_kept_are_refused_by_name(schema: dict[str, Any], why: str) -> None:
    whole = {"type": "object", "properties": {"x": schema}, "required": ["x"]}
    if "$ref" in json.dumps(schema) and '#"' in json.dumps(schema):
        whole = schema
    with pytest.raises(BadRequest, match=why) as refusal:
        grammar(whole, "tools")
    assert (refusal.value.param, refusal.value.error_code) == ("tools", "invalid_schema")


def _alternatives(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, schema]}


def _items(schema: dict[str, Any]) -> dict[str, Any]:
    return {"prefixItems": [schema, schema], "items": False}


def _properties(schema: dict[str, Any]) -> dict[str, Any]:
    return {"properties": {"a": schema, "b": schema}}


@pytest.mark.parametrize("twice", [_alternatives, _items, _properties])
def test_references_that_double_at_each_step_are_refused_before_they_take_for_ever(
    twice: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    steps = {f"s{step}": twice({"$ref": f"#/$defs/s{step + 1}", "minimum": 0}) for step in range(40)}
    schema = {"$defs": {**steps, "s40": {"type": "integer"}}, "$ref": "#/$defs/s0"}
    with pytest.raises(BadRequest, match="it is too large"):
        grammar(schema, "tools")


def test_arrays_of_arrays_are_written_once() -> None:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(30):
        schema = {"type": "array", "items": schema, "minItems": 1}
    assert len(ebnf(schema)) < 10_000


def test_a_reference_beside_a_description_may_lead_back_as_pydantic_1_writes_it() -> None:
    node = {"properties": {"next": {"title": "Next", "allOf": [{"$ref": "#/definitions/Node"}]}}}
    found = re.compile(as_regex(ebnf({"definitions": {"Node": node}, "$ref": "#/definitions/Node"}), depth=12))
    assert found.fullmatch('{"next": {"next": {}}}')
    assert not found.fullmatch('{"next": 1}')


@pytest.mark.parametrize(
    ("expression", "cost"),
    [
        (r"^\d{3}$", 3),
        (r"^(ab{2}|[x-z]{2,4}){3}$", 3 * (1 + 2 + 4)),
        (r"^[a-z]{5,}$", 5 * weight.LETTERS),
        (r"^.{0,9}$", 9 * weight.ANY),
        (r"^[^b]\{9\}\"$", weight.ANY + 4),
        (r"^(a?b*[0-9]{0,5}){4}$", 4 * (1 + 1 + 5) + (4 * 3) ** 3 // 250),
        (r"^[äö\u0100-\uffff]$", weight.ANY),
    ],
)
def test_the_cost_of_a_pattern_counts_every_place(expression: str, cost: int) -> None:
    assert weight.weight(pattern(expression)) == cost


def test_whatever_is_sent_is_a_grammar_or_a_refusal() -> None:
    words = [
        "type",
        "properties",
        "items",
        "anyOf",
        "allOf",
        "enum",
        "const",
        "required",
        "$ref",
        "minLength",
        "maximum",
    ]
    words += ["minItems", "prefixItems", "pattern", "format", "additionalProperties", "$defs", "patternProperties", "x"]
    draw = random.Random(7)

    def anything(depth: int) -> Any:
        kind = draw.randrange(8 if depth else 5)
        plain = [
            None,
            True,
            draw.choice([-1, 0, 3, 10**18, 0.5]),
            draw.choice(["string", "object", "#", "^a$", "date"]),
            "x",
        ]
        if kind < 5:
            return plain[kind]
        if kind == 5:
            return [anything(depth - 1) for _ in range(draw.randrange(3))]
        return {draw.choice(words): anything(depth - 1) for _ in range(draw.randrange(4))}

    made = 0
    for _ in range(3000):
        schema = {draw.choice(words): anything(4) for _ in range(draw.randrange(1, 4))}
        with contextlib.suppress(BadRequest):
            assert grammar(schema, "p").startswith("root ::= ")
            made += 1
    assert made > 100
