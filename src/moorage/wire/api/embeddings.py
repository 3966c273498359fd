"""`POST /v1/embeddings`: OpenAI's published request."""

from typing import Annotated

from msgspec import Meta, Struct

from moorage.wire.api.fields import Count, TokenId


class EmbeddingRequest(Struct, kw_only=True):
    input: str | Annotated[list[str | TokenId | list[TokenId]], Meta(max_length=2048)]
    model: str = ""
    encoding_format: str | None = None
    dimensions: Count | None = None
