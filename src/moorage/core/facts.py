"""What a model's files say about it."""

from dataclasses import dataclass
from typing import Literal

from moorage.wire.names import Task

Format = Literal["gguf", "safetensors", "onnx", "openvino", "ctranslate2"]
"""How the weights are stored. All but gguf are folders, whose other files say the rest."""

Pooling = Literal["mean", "cls", "last", "max", "rank", "other"]
"""How token vectors become one; rank ends in a score instead, other is none of these and only the model's own code."""


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """Read from the files' headers, without loading weights. None where the files do not say."""

    path: str
    """The folder, absolute; the file itself of a GGUF, and of a graph (ONNX, OpenVINO) that was named by its file."""
    weights: tuple[str, ...] = ()
    """The files with the weights, absolute; of ONNX and OpenVINO those with the graph, first the main one."""
    format: Format
    task: Task
    """What the files make it: an encoder embeds, one with a score or labels at its end reranks or classifies."""
    architecture: str
    """As the files name it (`bert`, `llama`, `whisper`); `unknown` where they do not."""
    size_bytes: int
    """Of all weight files together."""
    parameters: int | None = None
    quantization: str | None = None
    """The main tensor type, in the format's own words: `Q4_1`, `BF16`, `INT8`, `awq 4-bit`."""
    number_formats: tuple[str, ...] = ()
    """Of GGUF: every tensor type there is, in the format's own words."""
    tokenizer: str | None = None
    """Of GGUF: what kind it is, and how it cuts texts before that: `gpt2 qwen2`, `llama`."""
    context_length: int | None = None
    """Tokens the model was trained for; of a speech model, of its text."""
    layers: int | None = None
    """Of an encoder with a decoder, those of its encoder."""
    embedding_length: int | None = None
    heads: int | None = None
    kv_heads: int | None = None
    key_length: int | None = None
    """Width of one head's key; where the file is silent, embedding_length / heads."""
    value_length: int | None = None
    feed_forward_length: int | None = None
    """Width of the widest inner layer; of experts, of all that compute one token."""
    kv_layers: int | None = None
    """Layers that keep keys and values, where some keep none."""
    window: int | None = None
    """Tokens that layers with a sliding window look back."""
    window_layers: int | None = None
    """How many layers have that window; the others look back to the first token."""
    latent_length: int | None = None
    """Numbers a layer keeps of a token where keys and values are kept compressed together (MLA)."""
    rope_theta: float | None = None
    """Base of the angles of rotary positions."""
    rope_scaled: bool = False
    """Of GGUF: whether rotary positions are stretched or bent."""
    experts: int | None = None
    """Of GGUF: where a layer has several, of which a token uses some."""
    vocabulary: int | None = None
    pooling: Pooling | None = None
    """As the files say it."""
    chat_template: str | None = None
    labels: tuple[str, ...] = ()
    """Of a classifier, in the order of its outputs."""
    languages: tuple[str, ...] = ()
    """Of a speech model, in Whisper's codes (ISO 639-1 as a rule); empty where the files do not say.

    One means that it cannot translate or tell languages apart.
    """
    name: str | None = None
