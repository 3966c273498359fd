"""What a model's files say about it."""

from dataclasses import dataclass
from typing import Literal

from moorage.wire.names import Task

Format = Literal["gguf", "safetensors", "onnx", "openvino", "ctranslate2"]
"""How the weights are stored. All but gguf are folders, whose other files say the rest."""


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """Read from the files' headers, without loading weights. None where the files do not say."""

    path: str
    """The file or folder, absolute."""
    format: Format
    task: Task
    """What the files make it: an encoder embeds, one with a score or labels at its end reranks or classifies."""
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
    labels: tuple[str, ...] = ()
    """Of a classifier, in the order of its outputs."""
    languages: tuple[str, ...] = ()
    """Of a speech model: ISO 639-1; one language means that it cannot translate or tell languages apart."""
    name: str | None = None
