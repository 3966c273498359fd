"""`POST /pooling`: a model's outputs as they are, of whole texts or token by token, in vLLM's shape."""

from typing import Literal

from msgspec import Struct

from moorage.wire.api.embeddings import EncodingFormat, Input
from moorage.wire.api.fields import Count
from moorage.wire.api.truncation import Truncation
from moorage.wire.api.usage import Usage

PoolingTask = Literal["embed", "classify", "token_embed", "token_classify"]
"""One vector or one row of label scores a text, or one of each a token."""


class PoolingRequest(Truncation, kw_only=True):
    input: Input
    model: str = ""
    task: PoolingTask | None = None
    """Of an embedding model `embed` when left out, of others `classify`."""
    encoding_format: EncodingFormat | None = None
    dimensions: Count | None = None
    use_activation: bool | None = None
    """False gives vectors not normalised and label scores before the activation."""


class Pooled(Struct, kw_only=True):
    index: int
    data: list[float | list[float]] | str
    """Numbers of the text, or a list for each of its tokens; in base64 all numbers in a row."""
    object: Literal["pooling"] = "pooling"


class PoolingResponse(Struct, kw_only=True):
    id: str
    created: int
    model: str
    data: list[Pooled]
    usage: Usage
    object: Literal["list"] = "list"
