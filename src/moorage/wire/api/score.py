"""`POST /score` and `/v1/score`: how well two texts match, in vLLM's three spellings."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from moorage.wire.api.embeddings import TEXTS_MAX
from moorage.wire.api.truncation import Truncation
from moorage.wire.api.usage import Usage

Text = Annotated[str, Meta(min_length=1)]
Texts = Text | Annotated[list[Text], Meta(min_length=1, max_length=TEXTS_MAX)]


class ScoreRequest(Truncation, kw_only=True):
    """One pair of fields. One text against one or many, or as many on both sides, pair by pair."""

    model: str = ""
    text_1: Texts | None = None
    text_2: Texts | None = None
    queries: Texts | None = None
    documents: Texts | None = None
    data_1: Texts | None = None
    data_2: Texts | None = None
    use_activation: bool | None = None
    """False gives a cross-encoder's bare output."""


class Score(Struct, kw_only=True):
    index: int
    score: float
    object: Literal["score"] = "score"


class ScoreResponse(Struct, kw_only=True):
    id: str
    created: int
    model: str
    data: list[Score]
    usage: Usage
    object: Literal["list"] = "list"
