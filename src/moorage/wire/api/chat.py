"""`POST /v1/chat/completions`: OpenAI's published request, decoded strictly.

Unknown fields are ignored. The body for an engine of ours is built from these fields alone, so nothing else reaches it.
Fields that are accepted and change nothing here (`user`, `metadata`, `store`, …) are not declared.
"""

from typing import Annotated

from msgspec import Meta, Struct

from moorage.wire.api.fields import Count, Json
from moorage.wire.api.sampling import Sampling


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
