"""`POST /v1/completions`: OpenAI's published request and reply, whole and in chunks."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from moorage.wire.api.embeddings import Input
from moorage.wire.api.fields import Choices
from moorage.wire.api.sampling import Sampling
from moorage.wire.api.usage import GenerationUsage

Finish = Literal["stop", "length", "content_filter"]


class CompletionRequest(Sampling, kw_only=True):
    prompt: Input
    max_tokens: Annotated[int, Meta(ge=0, le=1 << 31)] | None = 16
    """Longest reply, in tokens. 0 only with `echo` and without `stream`."""
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    """Not together with `echo`."""
    echo: bool | None = None
    """Whether the reply begins with the prompt."""
    best_of: Choices | None = None
    """No other than `n`."""
    suffix: Annotated[str, Meta(extra_json_schema={"maxLength": 0})] | None = None
    """Not supported by the engines here."""


class CompletionLogprobs(Struct, kw_only=True):
    """Parallel arrays, one entry a token."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None
    text_offset: list[int]
    """Characters of the choice's text before the token."""


class CompletionChoice(Struct, kw_only=True):
    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: Finish | None
    """null in all chunks of a stream but a choice's last."""


class Completion(Struct, kw_only=True):
    id: str
    object: Literal["text_completion"]
    created: int
    """Unix time."""
    model: str
    """The name that was asked for."""
    system_fingerprint: str | UnsetType | None = UNSET
    choices: list[CompletionChoice]
    """Of several prompts, those of the first come first."""
    usage: GenerationUsage


class CompletionChunk(Struct, kw_only=True):
    """One event of a stream."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str | UnsetType | None = UNSET
    choices: list[CompletionChoice]
    """Empty in the last chunk, which carries the usage."""
    usage: GenerationUsage | UnsetType | None = UNSET
    """Where `stream_options.include_usage` asked for it: in the last chunk, null in those before."""
