"""`POST /v1/chat/completions`: OpenAI's published request, decoded strictly.

Unknown fields are ignored. The body for an engine of ours is built from these fields alone, so nothing else reaches it.
Fields that are accepted and change nothing here (`user`, `metadata`, `store`, …) are not declared.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from moorage.wire.api.fields import REFUSED, Count, Json
from moorage.wire.api.sampling import Sampling

Role = Literal["system", "developer", "user", "assistant", "tool"]
PartKind = Literal["text", "refusal", "image_url", "input_audio", "file", "video_url"]
"""A model that reads text alone takes the first two, and refuses the others by name."""
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


Name = Annotated[str, Meta(min_length=1, max_length=128)]


class Part(Struct):
    """A piece of a message's content: `text` in a part of that type, `refusal` in one of that."""

    type: PartKind
    text: str | None = None
    refusal: str | None = None


class FunctionCall(Struct):
    name: str
    arguments: str
    """A JSON object, as the model wrote it."""


class ToolCall(Struct):
    id: str
    function: FunctionCall
    type: Literal["function"] = "function"


class Message(Struct):
    """`content` may be left out only by an assistant that calls tools or has reasoned."""

    role: Role
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    """Of role `assistant`: what it called."""
    tool_call_id: str | None = None
    """Of role `tool`, and required there: the call it answers."""
    reasoning_content: str | None = None


class Function(Struct):
    name: Name
    description: str | None = None
    parameters: Json | None = None
    """A JSON schema of type `object`."""
    strict: bool | None = None


class Tool(Struct):
    function: Function
    type: Literal["function"]


class FunctionName(Struct):
    name: Name


class FunctionChoice(Struct, tag_field="type", tag="function"):
    """This function must be called."""

    function: FunctionName


class AllowedTool(Struct):
    function: FunctionName
    type: Literal["function"]


class AllowedTools(Struct):
    mode: Literal["auto", "required"]
    tools: Annotated[list[AllowedTool], Meta(min_length=1)]


class AllowedChoice(Struct, tag_field="type", tag="allowed_tools"):
    """Only these of the tools count."""

    allowed_tools: AllowedTools


ToolChoice = Literal["none", "auto", "required"] | FunctionChoice | AllowedChoice


class JsonSchema(Struct):
    name: Annotated[str, Meta(min_length=1)]
    description: str | None = None
    schema: Json | None = None
    strict: bool | None = None


class TextFormat(Struct, tag_field="type", tag="text"):
    pass


class JsonObjectFormat(Struct, tag_field="type", tag="json_object"):
    pass


class JsonSchemaFormat(Struct, tag_field="type", tag="json_schema"):
    json_schema: JsonSchema


ResponseFormat = TextFormat | JsonObjectFormat | JsonSchemaFormat


class ChatRequest(Sampling, kw_only=True):
    messages: Annotated[list[Message], Meta(min_length=1)]
    max_completion_tokens: Count | None = None
    """Longest reply, in tokens; up to the context's end when left out."""
    max_tokens: Count | None = None
    """The older name; `max_completion_tokens` wins."""
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    """Needs `logprobs`."""
    tools: Annotated[list[Tool], Meta(max_length=256)] | None = None
    tool_choice: ToolChoice | None = None
    """`auto` where there are tools, and `none` without."""
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    """Not together with tools that the model may call."""
    modalities: list[Literal["text"]] | None = None
    reasoning_effort: Effort | None = None
    chat_template_kwargs: Json | None = None
    functions: Annotated[list[Json] | None, REFUSED] = None
    """Refused: use `tools`."""
    function_call: Annotated[str | Json | None, REFUSED] = None
    """Refused: use `tool_choice`."""
