"""Forced tool calls by a model that could not call a tool by itself."""

import json
from typing import Any

import jsonschema
import pytest

from tests.contract.openai_schema import validate
from tests.integration.runtimes.runtime import Answer, Runtime, choices

pytestmark = pytest.mark.engine

TIMES = 20


def tool(name: str, description: str, parameters: dict[str, Any] | None) -> dict[str, Any]:
    function = {"name": name, "description": description}
    return {"type": "function", "function": function if parameters is None else {**function, "parameters": parameters}}


WEATHER = tool(
    "get_weather",
    "The weather of a city",
    {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["c", "f"]}},
        "required": ["city", "unit"],
    },
)
SEARCH = tool(
    "search",
    "Search the web",
    {
        "type": "object",
        "properties": {
            "query": {"type": "string"},
            "limit": {"type": "integer"},
        },
        "required": ["query", "limit"],
    },
)
BOOK = tool(
    "book",
    "Book a table",
    {
        "type": "object",
        "properties": {
            "who": {"$ref": "#/$defs/person"},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["who", "note", "tags"],
        "$defs": {
            "person": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
                "required": ["name", "age"],
            }
        },
    },
)
NOW = tool("now", "The time", None)
SCHEMAS = {
    tool["function"]["name"]: tool["function"].get("parameters", {"maxProperties": 0})
    for tool in (WEATHER, SEARCH, BOOK, NOW)
}

UNKNOWN = {"type": "function", "function": {"name": "nope"}}
BROKEN: list[dict[str, Any]] = [
    {"type": "strange"},
    {"$ref": "#/$defs/missing"},
    {"type": "string", "pattern": "("},
    {"type": "string", "format": "no such format"},
    {"type": "integer", "minimum": 5, "maximum": 2},
    {"enum": []},
]


def called(answer: Answer, streamed: bool) -> list[dict[str, Any]]:
    """The calls of every choice: name, arguments, finish_reason."""
    assert answer.status == 200, answer.content
    if not streamed:
        validate("CreateChatCompletionResponse", answer.body)
        found: list[dict[str, Any]] = []
        for choice in answer.body["choices"]:
            (call,) = choice["message"]["tool_calls"]
            assert choice["message"]["content"] is None
            assert call["id"].startswith("call_")
            found.append({**call["function"], "finish_reason": choice["finish_reason"]})
        return found
    calls: dict[int, dict[str, Any]] = {}
    for chunk in answer.chunks:
        validate("CreateChatCompletionStreamResponse", chunk)
    for choice in choices(answer.chunks):
        for piece in choice["delta"].get("tool_calls", ()):
            if choice["index"] not in calls:
                assert piece["id"].startswith("call_")
                assert piece["type"] == "function"
                calls[choice["index"]] = {"name": piece["function"]["name"], "arguments": "", "pieces": 0}
            else:
                assert "id" not in piece
            calls[choice["index"]]["arguments"] += piece["function"]["arguments"]
            calls[choice["index"]]["pieces"] += 1
        if choice["finish_reason"]:
            calls[choice["index"]]["finish_reason"] = choice["finish_reason"]
    return [calls[index] for index in sorted(calls)]


def check(calls: list[dict[str, Any]]) -> None:
    for call in calls:
        jsonschema.validate(json.loads(call["arguments"]), SCHEMAS[call["name"]])
        assert call["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("tools", "choice"),
    [
        ([WEATHER, SEARCH], {"type": "function", "function": {"name": "search"}}),
        ([WEATHER, SEARCH], "required"),
    ],
    ids=["named", "required"],
)
def test_a_forced_call_is_valid_every_time(generate: Runtime, tools: list[Any], choice: Any, streamed: bool) -> None:
    calls: list[dict[str, Any]] = []
    for _ in range(TIMES // 4):
        answer = generate.chat("Find Paris's weather.", tools=tools, tool_choice=choice, stream=streamed, n=4)
        calls += called(answer, streamed)
    assert len(calls) == TIMES
    check(calls)
    if isinstance(choice, dict):
        assert {call["name"] for call in calls} == {"search"}
    if streamed:
        assert all(call["pieces"] > 3 for call in calls)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("tools", [[BOOK], [NOW], [WEATHER, BOOK, NOW]], ids=["refs", "no parameters", "several"])
def test_other_schemas(generate: Runtime, tools: list[Any], streamed: bool) -> None:
    answer = generate.chat("Book for Bob, 33.", tools=tools, tool_choice="required", stream=streamed)
    check(called(answer, streamed))


def test_only_allowed_tools_are_called(generate: Runtime) -> None:
    only = {"type": "function", "function": {"name": "now"}}
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [only]}}
    calls = called(generate.chat("Weather?", tools=[WEATHER, NOW], tool_choice=choice), streamed=False)
    assert calls[0]["name"] == "now"


def test_a_call_cut_by_its_bound_says_so(generate: Runtime) -> None:
    body = generate.chat("Weather in Paris?", tools=[WEATHER], tool_choice="required", max_tokens=3).body
    assert body["choices"][0]["finish_reason"] == "length"


def test_a_system_message_stays(generate: Runtime) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Weather in Paris?"}]
    body = {"model": "m", "messages": messages, "tools": [WEATHER], "tool_choice": "required"}
    check(called(generate.post("/v1/chat/completions", body), streamed=False))


@pytest.mark.parametrize("choice", [None, "auto", "none"])
def test_a_free_choice_may_be_text(generate: Runtime, choice: str | None) -> None:
    answer = generate.chat("Say hi.", tools=[WEATHER], tool_choice=choice, max_tokens=5, parallel_tool_calls=False)
    validate("CreateChatCompletionResponse", answer.body)
    assert answer.body["choices"][0]["finish_reason"] in {"stop", "length", "tool_calls"}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": "sometimes"}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": UNKNOWN}, "tool_choice.function.name"),
        ({"tools": [{"type": "custom"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [tool("x", "", {"type": "array"})]}, "tools[0].function.parameters"),
        ({"functions": []}, "functions"),
        ({"function_call": "auto"}, "function_call"),
    ],
)
def test_wrong_tools(generate: Runtime, fields: dict[str, Any], param: str) -> None:
    answer = generate.chat(**fields)
    assert answer.status == 400
    validate("ErrorResponse", answer.body)
    assert answer.error["param"] == param


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_schema_the_grammar_cannot_have(generate: Runtime, broken: dict[str, Any], streamed: bool) -> None:
    parameters = {"type": "object", "properties": {"x": broken}, "required": ["x"]}
    answer = generate.chat(
        "x", tools=[tool("x", "", parameters)], tool_choice="required", stream=streamed, max_tokens=9
    )
    assert answer.status == 400, answer.content
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": parameters}}
    answer = generate.chat("x", response_format=wanted, stream=streamed, max_tokens=9)
    assert answer.status == 400, answer.content
