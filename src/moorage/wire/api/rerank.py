"""`POST /rerank`, `/v1/rerank` and `/v2/rerank`: the shape that Jina, Cohere and vLLM share."""

from typing import Annotated

from msgspec import Meta, Struct

from moorage.wire.api.embeddings import TEXTS_MAX
from moorage.wire.api.fields import Count
from moorage.wire.api.truncation import Truncation
from moorage.wire.api.usage import ReplyMeta, Usage

Text = Annotated[str, Meta(min_length=1)]


class Document(Struct, kw_only=True):
    text: Text


class RerankRequest(Truncation, kw_only=True):
    query: Text
    documents: Annotated[list[Text | Document], Meta(min_length=1, max_length=TEXTS_MAX)]
    model: str = ""
    top_n: Count | None = None
    """So many of the best; all when left out or more than there are."""
    return_documents: bool | None = None
    """Whether results repeat their text: yes when left out, but on /v2/rerank no."""
    max_tokens_per_doc: Count | None = None
    """A longer document is cut at its end, to fit the model too."""


class RerankResult(Struct, kw_only=True, omit_defaults=True):
    index: int
    """Place of the document in the request."""
    relevance_score: float
    """Of a cross-encoder what its own activation gives, of an embedding model the cosine, -1 to 1."""
    document: Document | None = None


class RerankResponse(Struct, kw_only=True):
    """Results in falling order of relevance; of equals, the earlier document first."""

    id: str
    model: str
    results: list[RerankResult]
    usage: Usage
    meta: ReplyMeta
