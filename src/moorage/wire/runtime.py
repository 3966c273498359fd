"""What an engine adapter tells a runtime of ours at its start: a JSON file only the owner can read."""

from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from moorage.wire.names import Task

ExtraArg = str | int | float | bool


class RuntimeSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every runtime of ours is told: one process, one model."""

    socket: str
    """Unix socket path on which the runtime answers."""
    token: str
    """Bearer token it demands, empty for none."""
    model_path: str
    served_name: str
    task: Task
    threads: int
    grace_s: float = 30.0
    """After SIGTERM, how long running calls may take to finish."""


class LlamaCppSettings(RuntimeSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One llama.cpp process: a number of slots that each hold `context` tokens."""

    stream_threads: int | None = None
    """For a step of one token, which is what one stream alone takes; `threads` when left out."""
    slots: int
    context: int
    """Tokens of one slot: the longest prompt plus reply."""
    batch_tokens: int
    """Prompt tokens per engine step; cancellation is seen between steps."""
    kv_cache_dtype: Literal["f32", "f16", "bf16", "q8_0", "q4_0"] = "f16"
    pooling: Literal["file", "mean", "rank"] = "file"
    """What is made of token vectors: one vector, or with rank a score; `file` is what the model file says."""
    prefix_caching: bool = True
    prompt_cache_mib: int = 0
    """Host memory for the KV cache of conversations that lost their slot."""
    extra_args: dict[str, ExtraArg] = {}
    """Fields of xllamacpp's CommonParams by name, dotted for nested ones."""


class OpenVinoSettings(RuntimeSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One OpenVINO GenAI process that writes text: sequences that share one KV cache."""

    sequences: int
    """Replies written at once."""
    context: int
    """The longest prompt plus reply, in tokens."""
    cache_tokens: int
    """Of the KV cache, which all sequences share: at least `context`."""
    batch_tokens: int
    """Tokens per engine step, of prompts and replies together; cancellation is seen between steps."""
    kv_cache_dtype: Literal["u8", "u4", "f16", "bf16", "f32"] = "u8"
    precision: Literal["f32", "f16", "bf16"] = "f32"
    """Number format of the computation."""
    prefix_caching: bool = True
    parameters: int = 0
    """Of the model, 0 where its files do not say."""
    extra_args: dict[str, ExtraArg] = {}
    """Properties of OpenVINO's CPU plugin by name."""


class EncoderSettings(RuntimeSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One process of ONNX Runtime or OpenVINO: a text encoder that embeds, reranks or classifies."""

    context: int
    """Tokens of the longest text."""
    batch_tokens: int
    """Tokens of one step, padding counted: texts of several calls share it."""
    max_calls: int
    """Calls worked on at once."""
    niceness: Annotated[int, Meta(ge=0, le=19)] = 5
    """Of the threads that compute: how far they make way for the streams of other engines."""
    quantize: bool = False
    """Compute the layers of safetensors in 8-bit integers."""
    pooling: Literal["file", "mean", "cls", "max", "lasttoken", "weightedmean"] = "file"
    """How token vectors become one; `file` is what the model's files say, the mean where they are silent."""
    matryoshka: bool = False
    """Whether embeddings may be cut to any size, though the files do not say so."""


class SpeechSettings(RuntimeSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One faster-whisper process."""

    max_calls: int
    """Recordings worked on at once."""
    compute_type: str = "auto"
    """Number format of the computation, in CTranslate2's words."""
    spool_dir: str
    """Where uploads are kept while they are worked on."""
    beam_size: Annotated[int, Meta(ge=1, le=32)] = 5
    """Ways to go on that are followed at once while a window is decoded."""
    niceness: Annotated[int, Meta(ge=0, le=19)] = 10
    """Of the threads that work, 0 to 19: how far they make way for other engines on the machine.

    Measured on two cores beside a chat stream of 100 tokens/s on both: at 0 it fell to 3, at 5 to 72, at 10 to 85; the
    recordings went on at 30, 5.6 and 2.8 times their own pace.
    """
    max_upload_bytes: Annotated[int, Meta(ge=1)] = 2 << 30
    """Of a whole form."""
    max_audio_s: Annotated[float, Meta(gt=0)] = 4 * 3600.0
    """Of a recording."""


encode = msgspec.json.Encoder().encode

Settings = TypeVar("Settings", bound=RuntimeSettings)


def decode(kind: type[Settings], data: bytes) -> Settings:
    """Raises msgspec.MsgspecError, UnicodeDecodeError."""
    return msgspec.json.decode(data, type=kind)
