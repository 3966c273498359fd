"""What a model's files say about it."""

from dataclasses import dataclass
from typing import Literal

from moorage.wire.names import Task

Format = Literal["gguf"]


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """Read from the files' headers, without loading weights. None where the files do not say."""

    path: str
    """The file, absolute."""
    format: Format
    task: Task
    """generate, or embed for an encoder or a model that says how it pools."""
    architecture: str
    size_bytes: int
    parameters: int | None = None
    quantization: str | None = None
    """The main tensor type, in the format's own words: `Q4_1`, `F16`."""
    context_length: int | None = None
    """Tokens the model was trained for."""
    layers: int | None = None
    embedding_length: int | None = None
    heads: int | None = None
    kv_heads: int | None = None
    key_length: int | None = None
    """Width of one head's key; where the file is silent, embedding_length / heads."""
    value_length: int | None = None
    vocabulary: int | None = None
    pooling: Literal["mean", "cls", "last", "rank"] | None = None
    """How the file says that token vectors become one."""
    chat_template: str | None = None
    name: str | None = None
