"""What an engine adapter tells a runtime of ours at its start: a JSON file only the owner can read."""

from typing import Literal

import msgspec
from msgspec import Struct

from moorage.wire.names import Task

ExtraArg = str | int | float | bool


class LlamaCppSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One llama.cpp process: one model, a number of slots that each hold `context` tokens."""

    socket: str
    """Unix socket path on which the runtime answers."""
    token: str
    """Bearer token it demands, empty for none."""
    model_path: str
    served_name: str
    task: Task
    slots: int
    context: int
    """Tokens of one slot: the longest prompt plus reply."""
    threads: int
    batch_tokens: int
    """Prompt tokens per engine step; cancellation is seen between steps."""
    kv_cache_dtype: Literal["f16", "q8_0", "q4_0"] = "f16"
    pooling: Literal["file", "mean"] = "file"
    """How an embedding is made of token vectors; `file` is what the model file says."""
    prefix_caching: bool = True
    prompt_cache_mib: int = 0
    """Host memory for the KV cache of conversations that lost their slot."""
    grace_s: float = 30.0
    """After SIGTERM, how long running calls may take to finish."""
    extra_args: dict[str, ExtraArg] = {}
    """Fields of xllamacpp's CommonParams by name, dotted for nested ones."""


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(LlamaCppSettings).decode
