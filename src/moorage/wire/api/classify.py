"""`POST /classify`: labels of texts, in vLLM's shape."""

from typing import Literal

from msgspec import Struct

from moorage.wire.api.embeddings import Input
from moorage.wire.api.truncation import Truncation
from moorage.wire.api.usage import Usage


class ClassifyRequest(Truncation, kw_only=True):
    input: Input
    model: str = ""
    use_activation: bool | None = None
    """False gives the model's bare outputs in place of probabilities."""


class Classification(Struct, kw_only=True):
    index: int
    label: str | None
    """The label of the largest; null where the model's files name none."""
    probs: list[float]
    num_classes: int


class ClassifyResponse(Struct, kw_only=True):
    id: str
    created: int
    model: str
    data: list[Classification]
    usage: Usage
    object: Literal["list"] = "list"
