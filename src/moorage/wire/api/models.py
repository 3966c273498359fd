"""`GET /v1/models`: OpenAI's listing, with what clients of vLLM and Moorage look for besides."""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from moorage.wire.names import Task


class Model(Struct, kw_only=True, frozen=True):
    id: str
    object: Literal["model"] = "model"
    created: int
    """Unix time."""
    owned_by: str
    max_model_len: int | None
    """Tokens of the longest prompt plus reply; null while no replica has told it."""
    task: Task | None
    """null until the model's files were read."""
    aliases: tuple[str, ...]
    """The other names it answers to."""
    parent: str | UnsetType = UNSET
    """Of a LoRA adapter the model it changes."""


class ModelList(Struct, kw_only=True, frozen=True):
    object: Literal["list"] = "list"
    data: tuple[Model, ...]
