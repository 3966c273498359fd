"""`POST /v2/embed`: Cohere's published request and reply, for texts."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from moorage.wire.api.embeddings import TEXTS_MAX
from moorage.wire.api.fields import Count
from moorage.wire.api.usage import ReplyMeta

Text = Annotated[str, Meta(min_length=1)]
EmbeddingType = Literal["float", "int8", "uint8", "binary", "ubinary", "base64"]
"""int8 is 127 times the number, rounded; uint8 that plus 128; binary packs the signs of eight numbers into one, as a
signed byte (128 less), ubinary as it is; base64 holds 32-bit floats, little endian."""
InputType = Literal["search_document", "search_query", "classification", "clustering"]
"""What the vectors are for: picks the model's own prompt of that purpose, where it has one."""


class Content(Struct, kw_only=True):
    """A piece of an input. Kinds other than text are refused by name."""

    type: str
    text: str | None = None


class EmbedInput(Struct, kw_only=True):
    content: Annotated[list[Content], Meta(min_length=1)]


class EmbedRequest(Struct, kw_only=True):
    """Either `texts` or `inputs`."""

    model: str = ""
    texts: Annotated[list[Text], Meta(min_length=1, max_length=TEXTS_MAX)] | None = None
    inputs: Annotated[list[EmbedInput], Meta(min_length=1, max_length=TEXTS_MAX)] | None = None
    input_type: InputType | None = None
    embedding_types: Annotated[list[EmbeddingType], Meta(min_length=1)] | None = None
    """`["float"]` when left out."""
    output_dimension: Count | None = None
    truncate: Literal["NONE", "START", "END"] = "END"
    """Which end of a text is dropped that is longer than the model reads; NONE refuses it."""
    max_tokens: Count | None = None
    """Longest text, in tokens; what is beyond falls to `truncate`."""


class Embeddings(Struct, kw_only=True, omit_defaults=True, rename={"floats": "float"}):
    """One list of vectors for each kind that was asked for."""

    floats: list[list[float]] | None = None
    int8: list[list[int]] | None = None
    uint8: list[list[int]] | None = None
    binary: list[list[int]] | None = None
    ubinary: list[list[int]] | None = None
    base64: list[str] | None = None


class EmbedResponse(Struct, kw_only=True):
    id: str
    model: str
    embeddings: Embeddings
    texts: list[str]
    meta: ReplyMeta
    response_type: Literal["embeddings_by_type"] = "embeddings_by_type"
