"""`POST /v1/embeddings`: OpenAI's published request and reply."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from moorage.wire.api.fields import Count, TokenId
from moorage.wire.api.truncation import Truncation
from moorage.wire.api.usage import Usage

TEXTS_MAX = 2048
"""Texts of one call."""
TOKENS_MAX = 1 << 17
"""Tokens of one text that comes as tokens."""

Tokens = Annotated[list[TokenId], Meta(min_length=1, max_length=TOKENS_MAX)]
"""A text as the client's own tokens: nothing is added to them."""

_ONE_KIND = [
    {"items": {"type": "string"}, "maxItems": TEXTS_MAX},
    {"items": {"type": "integer"}},
    {"items": {"type": "array"}, "maxItems": TEXTS_MAX},
]

Input = (
    Annotated[str, Meta(min_length=1)]
    | Annotated[
        list[Annotated[str, Meta(min_length=1)] | TokenId | Tokens],
        Meta(min_length=1, max_length=TOKENS_MAX, extra_json_schema={"anyOf": _ONE_KIND}),
    ]
)
"""One text or up to 2048, each a string or an array of tokens; one flat array of integers is one text in tokens."""

EncodingFormat = Literal["float", "base64"]
"""base64: 32-bit floats, little endian."""


class EmbeddingRequest(Truncation, kw_only=True):
    input: Input
    model: str = ""
    encoding_format: EncodingFormat | None = None
    dimensions: Count | None = None
    """Of models made for it: the first so many numbers, made a unit vector again."""
    prompt_name: str | None = None
    """Which of the model's own prompts to put before each text (sentence-transformers' `prompts`)."""


class Embedding(Struct, kw_only=True):
    index: int
    embedding: list[float] | str
    object: Literal["embedding"] = "embedding"


class EmbeddingResponse(Struct, kw_only=True):
    model: str
    data: list[Embedding]
    usage: Usage
    object: Literal["list"] = "list"
