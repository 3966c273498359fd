"""What clients may send: OpenAI's published request types (and vLLM's for tokens), decoded strictly.

Unknown fields are ignored. The body for the library is built from these fields alone, so nothing else reaches it.
Fields that are accepted and change nothing here (`user`, `metadata`, `store`, …) are not declared.
"""

import re
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from moorage.errors import BadRequest

Json = dict[str, Any]
Count = Annotated[int, Meta(ge=1, le=1 << 31)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Share = Annotated[float, Meta(ge=0, le=1)]
Seed = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
Choices = Annotated[int, Meta(ge=1, le=128)]
TokenId = Annotated[int, Meta(ge=0, le=(1 << 31) - 1)]
Bias = Annotated[float, Meta(ge=-100, le=100)]
Stop = Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(max_length=16)]


class StreamOptions(Struct):
    include_usage: bool | None = None


class Sampling(Struct, kw_only=True):
    """What chat and text completions share. `top_k` and the fields below it are extensions that vLLM has too."""

    model: str = ""
    n: Choices | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Share | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    seed: Seed | None = None
    stop: str | Stop | None = None
    logit_bias: dict[str, Bias] | None = None
    top_k: Annotated[int, Meta(ge=-1, le=1 << 20)] | None = None
    min_p: Share | None = None
    repetition_penalty: Annotated[float, Meta(gt=0, le=10)] | None = None
    repeat_penalty: Annotated[float, Meta(gt=0, le=10)] | None = None
    ignore_eos: bool | None = None

    @property
    def include_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)


class Part(Struct):
    """A piece of a message's content. Kinds other than text are told apart to be refused by name."""

    type: str
    text: str | None = None
    refusal: str | None = None


class FunctionCall(Struct):
    name: str
    arguments: str


class ToolCall(Struct):
    id: str
    function: FunctionCall
    type: str = "function"


class Message(Struct):
    role: str
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None


class Function(Struct):
    name: Annotated[str, Meta(min_length=1, max_length=128)]
    description: str | None = None
    parameters: Json | None = None
    strict: bool | None = None


class Tool(Struct):
    type: str
    function: Function | None = None


class FunctionName(Struct):
    name: str


class AllowedTool(Struct):
    type: str
    function: FunctionName | None = None


class AllowedTools(Struct):
    mode: str
    tools: list[AllowedTool]


class ToolChoice(Struct):
    type: str
    function: FunctionName | None = None
    allowed_tools: AllowedTools | None = None


class JsonSchema(Struct):
    name: Annotated[str, Meta(min_length=1)]
    description: str | None = None
    schema: Json | None = None
    strict: bool | None = None


class ResponseFormat(Struct):
    type: str
    json_schema: JsonSchema | None = None


class ChatRequest(Sampling, kw_only=True):
    messages: Annotated[list[Message], Meta(min_length=1)]
    max_completion_tokens: Count | None = None
    max_tokens: Count | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: Annotated[list[Tool], Meta(max_length=256)] | None = None
    tool_choice: str | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    modalities: list[str] | None = None
    reasoning_effort: str | None = None
    chat_template_kwargs: Json | None = None
    functions: list[Json] | None = None
    function_call: str | Json | None = None


class CompletionRequest(Sampling, kw_only=True):
    prompt: str | list[str | TokenId | list[TokenId]]
    max_tokens: Annotated[int, Meta(ge=0, le=1 << 31)] | None = 16
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    echo: bool | None = None
    best_of: Choices | None = None
    suffix: str | None = None


class EmbeddingRequest(Struct, kw_only=True):
    input: str | Annotated[list[str | TokenId | list[TokenId]], Meta(max_length=2048)]
    model: str = ""
    encoding_format: str | None = None
    dimensions: Count | None = None


class TokenizeRequest(Struct, kw_only=True):
    """vLLM's /tokenize: a prompt, or messages as the chat template writes them."""

    model: str = ""
    prompt: str | None = None
    messages: Annotated[list[Message], Meta(min_length=1)] | None = None
    tools: list[Tool] | None = None
    add_special_tokens: bool | None = None
    add_generation_prompt: bool | None = None
    return_token_strs: bool | None = None


class DetokenizeRequest(Struct, kw_only=True):
    tokens: list[TokenId]
    model: str = ""


T = TypeVar("T", bound=Struct)

_WORDS = {
    "int": "an integer",
    "float": "a number",
    "str": "a string",
    "bool": "true or false",
    "array": "an array",
    "object": "an object",
    "null": "null",
}
_PLACE = re.compile(r" - at `(?:key in )?\$\.?(.*)`$", re.DOTALL)
_TYPES = re.compile(r"`([a-z]+(?: \| [a-z]+)*)`")
_MISSING = re.compile(r"Object missing required field `(\w+)`")


def decode(kind: type[T], body: bytes) -> T:
    """`body` as `kind`. Raises BadRequest that names the field and what it may be."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise _explained(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"the body is not valid JSON: {error}") from error
    except RecursionError as error:
        raise BadRequest("the body is nested too deeply") from error


def _explained(text: str) -> BadRequest:
    place = _PLACE.search(text)
    param = place[1] if place else None
    what = text[: place.start()] if place else text
    if missing := _MISSING.search(what):
        param = f"{param}.{missing[1]}" if param else missing[1]
        return BadRequest(f"{param} is required", param=param, code="missing_required_parameter")
    what = _TYPES.sub(lambda match: " or ".join(_WORDS.get(word, word) for word in match[1].split(" | ")), what)
    what = what[:1].lower() + what[1:]
    return BadRequest(f"{param or 'the body'}: {what}", param=param, code="invalid_type" if "got" in what else None)


def one_of(param: str, value: str, allowed: tuple[str, ...]) -> str:
    """`value`, if it is allowed; else BadRequest that lists what is."""
    if value not in allowed:
        choices = ", ".join(repr(choice) for choice in allowed)
        raise BadRequest(f"{param}: {value!r} is none of {choices}", param=param, code="invalid_value")
    return value
