"""Tools of a chat call: which may be called, whether one must be, and how the model is made to."""

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from moorage.errors import BadRequest
from moorage.runtimes.generating.schema import bounded, checked, moved
from moorage.wire.api.chat import AllowedChoice, AllowedTools, ChatRequest, Function, FunctionChoice, Tool

Json = dict[str, Any]


@dataclass(frozen=True)
class ToolPlan:
    mode: Literal["none", "auto", "forced"]
    functions: tuple[Function, ...] = ()

    @property
    def bodies(self) -> list[Json]:
        """The tools as templates and the library read them."""
        return [{"type": "function", "function": _body(function)} for function in self.functions]

    @property
    def only(self) -> str | None:
        """The function's name where just one can be called."""
        return self.functions[0].name if len(self.functions) == 1 else None

    def schema(self, budget_tokens: int) -> Json:
        """What the model may write: the arguments of the only function, or a choice with its arguments."""
        if self.only is not None:
            return _arguments(self.functions[0], budget_tokens)
        return {"anyOf": [_choice(place, each, budget_tokens) for place, each in enumerate(self.functions)]}

    def instruction(self) -> str:
        """What a model is told whose chat template knows no tools."""
        bodies = [_body(function) for function in self.functions]
        text = msgspec.json.encode(bodies[0] if self.only is not None else bodies).decode()
        if self.only is not None:
            return (
                f"Call the function {self.only!r} to help with the user's request: answer with its arguments as one "
                f"JSON object, taken from the conversation, and nothing else.\nThe function: {text}"
            )
        return (
            "Call the one of these functions that helps with the user's request: answer with one JSON object "
            '{"name": the function\'s name, "arguments": its arguments, taken from the conversation} and nothing '
            f"else.\nThe functions: {text}"
        )


def plan(request: ChatRequest) -> ToolPlan:
    """Raises BadRequest for tools and choices that cannot be."""
    if request.functions is not None or request.function_call is not None:
        param = "functions" if request.functions is not None else "function_call"
        raise BadRequest(f"{param} is deprecated: use tools and tool_choice", param=param, code="unsupported_parameter")
    functions = tuple(_functions(request.tools))
    choice = request.tool_choice
    if choice is None:
        return ToolPlan("auto", functions) if functions else ToolPlan("none")
    if isinstance(choice, FunctionChoice):
        return ToolPlan("forced", (_named(choice.function.name, functions, "tool_choice.function.name"),))
    if isinstance(choice, AllowedChoice):
        return _allowed(choice.allowed_tools, functions)
    return _by_mode(choice, functions)


def _by_mode(mode: Literal["none", "auto", "required"], functions: tuple[Function, ...]) -> ToolPlan:
    if mode == "required":
        if not functions:
            raise BadRequest("tool_choice is 'required', but there are no tools", param="tool_choice")
        return ToolPlan("forced", functions)
    return ToolPlan("auto", functions) if mode == "auto" and functions else ToolPlan("none")


def _allowed(allowed: AllowedTools, functions: tuple[Function, ...]) -> ToolPlan:
    param = "tool_choice.allowed_tools.tools"
    named = tuple(_named(tool.function.name, functions, param) for tool in allowed.tools)
    return _by_mode(allowed.mode, named)


def _named(name: str, functions: tuple[Function, ...], param: str) -> Function:
    for function in functions:
        if function.name == name:
            return function
    known = ", ".join(repr(function.name) for function in functions) or "none"
    raise BadRequest(f"{param}: {name!r} is not among the tools ({known})", param=param)


def tool_bodies(tools: list[Tool] | None) -> list[Json]:
    """Tools as templates and the library read them. Raises BadRequest."""
    return [{"type": "function", "function": _body(function)} for function in _functions(tools)]


def _functions(tools: list[Tool] | None) -> list[Function]:
    functions: list[Function] = []
    for place, tool in enumerate(tools or ()):
        param = f"tools[{place}]"
        parameters = tool.function.parameters or {}
        if parameters.get("type", "object") != "object":
            raise BadRequest(
                f"{param}.function.parameters must be a JSON schema of type 'object'",
                param=f"{param}.function.parameters",
                code="invalid_schema",
            )
        checked(parameters, f"{param}.function.parameters")
        if any(known.name == tool.function.name for known in functions):
            raise BadRequest(f"{param}.function.name: {tool.function.name!r} is there twice", param=param)
        functions.append(tool.function)
    return functions


def _body(function: Function) -> Json:
    return {
        "name": function.name,
        "description": function.description or "",
        "parameters": function.parameters or {"type": "object", "properties": {}},
    }


def _arguments(function: Function, budget_tokens: int) -> Json:
    return bounded({"type": "object", **(function.parameters or {})}, budget_tokens)


def _choice(place: int, function: Function, budget_tokens: int) -> Json:
    arguments = moved(_arguments(function, budget_tokens), f"#/anyOf/{place}/properties/arguments")
    return {
        "type": "object",
        "properties": {"name": {"const": function.name}, "arguments": arguments},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }
