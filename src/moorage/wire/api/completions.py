"""`POST /v1/completions`: OpenAI's published request."""

from typing import Annotated

from msgspec import Meta

from moorage.wire.api.fields import Choices, TokenId
from moorage.wire.api.sampling import Sampling


class CompletionRequest(Sampling, kw_only=True):
    prompt: str | list[str | TokenId | list[TokenId]]
    max_tokens: Annotated[int, Meta(ge=0, le=1 << 31)] | None = 16
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    echo: bool | None = None
    best_of: Choices | None = None
    suffix: str | None = None
