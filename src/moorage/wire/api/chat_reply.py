"""What `POST /v1/chat/completions` answers: OpenAI's published reply, whole and in chunks."""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from moorage.wire.api.chat import ToolCall
from moorage.wire.api.usage import GenerationUsage

Finish = Literal["stop", "length", "tool_calls", "content_filter"]


class TokenLogprob(Struct, kw_only=True):
    token: str
    logprob: float
    bytes: list[int] | None
    """UTF-8 bytes of the token, which may be a part of a character."""


class ChosenToken(TokenLogprob, kw_only=True):
    top_logprobs: list[TokenLogprob]


class ChatLogprobs(Struct, kw_only=True):
    content: list[ChosenToken] | None
    refusal: list[ChosenToken] | None


class Answer(Struct, kw_only=True):
    role: Literal["assistant"]
    content: str | None
    refusal: str | None
    tool_calls: list[ToolCall] | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET


class ChatChoice(Struct, kw_only=True):
    index: int
    message: Answer
    logprobs: ChatLogprobs | None
    finish_reason: Finish


class ChatCompletion(Struct, kw_only=True):
    id: str
    object: Literal["chat.completion"]
    created: int
    """Unix time."""
    model: str
    """The name that was asked for."""
    system_fingerprint: str | UnsetType | None = UNSET
    """Same fingerprint, seed and parameters: mostly the same reply."""
    choices: list[ChatChoice]
    usage: GenerationUsage


class FunctionCallPiece(Struct, kw_only=True):
    name: str | UnsetType = UNSET
    """In the first piece of a call."""
    arguments: str


class ToolCallPiece(Struct, kw_only=True):
    index: int
    """Which call of the message it belongs to."""
    id: str | UnsetType = UNSET
    """In the first piece of a call, with its `type` and `function.name`."""
    type: Literal["function"] | UnsetType = UNSET
    function: FunctionCallPiece


class Delta(Struct, kw_only=True):
    role: Literal["assistant"] | UnsetType = UNSET
    """In the first chunk of a choice."""
    content: str | UnsetType | None = UNSET
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[ToolCallPiece] | UnsetType = UNSET


class ChatChunkChoice(Struct, kw_only=True):
    index: int
    delta: Delta
    logprobs: ChatLogprobs | None
    finish_reason: Finish | None
    """In the last chunk of a choice."""


class ChatCompletionChunk(Struct, kw_only=True):
    """One event of a stream."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    system_fingerprint: str | UnsetType | None = UNSET
    choices: list[ChatChunkChoice]
    """Empty in the last chunk, which carries the usage."""
    usage: GenerationUsage | UnsetType | None = UNSET
    """Where `stream_options.include_usage` asked for it: in the last chunk, null in those before."""
