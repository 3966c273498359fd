"""How much memory a model takes: an estimate from what its file says, before anything is loaded.

Weights are the file. The KV cache holds a key and a value per layer, per key-value head (fewer than heads where they
are grouped) and token. Computing one step takes activations and, for the worst case, logits of every token in it.
"""

from dataclasses import dataclass

from moorage.core.facts import ModelFacts

KV_BYTES_PER_NUMBER = {"f32": 4.0, "f16": 2.0, "bf16": 2.0, "fp8": 1.0, "q8_0": 34 / 32, "q4_0": 18 / 32}
"""Quantised caches keep 32 numbers and a two-byte scale in a block."""
FLOAT_BYTES = 4
ACTIVATIONS = 20
"""Vectors of the embedding's width that are alive at once for a token: gates, queries, keys, residuals."""
PROCESS_BYTES = 128 * 1024 * 1024
"""Interpreter, library, buffers."""
MEMORY_SHARE = 0.9
"""Of a machine's memory, what engines may use; the rest is the system's and ours."""


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    weights_bytes: int
    kv_bytes: int
    compute_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.kv_bytes + self.compute_bytes


def kv_bytes_per_token(facts: ModelFacts, kv_dtype: str = "f16") -> int | None:
    """Bytes of the KV cache for one token of context. None where the file does not say enough."""
    heads = facts.kv_heads or facts.heads
    if not (facts.layers and heads and facts.key_length and facts.value_length):
        return None
    numbers = facts.layers * heads * (facts.key_length + facts.value_length)
    return round(numbers * KV_BYTES_PER_NUMBER[kv_dtype])


def compute_bytes(facts: ModelFacts, step_tokens: int) -> int:
    """Buffers for a step of `step_tokens` prompt tokens, and the process itself."""
    logits = 0 if facts.task != "generate" else facts.vocabulary or 0
    width = logits + ACTIVATIONS * (facts.embedding_length or 0)
    return PROCESS_BYTES + step_tokens * width * FLOAT_BYTES


def estimate(facts: ModelFacts, *, context_tokens: int, step_tokens: int, kv_dtype: str = "f16") -> MemoryEstimate:
    """`context_tokens` is the sum over all calls worked on at once."""
    return MemoryEstimate(
        weights_bytes=facts.size_bytes,
        kv_bytes=context_tokens * (kv_bytes_per_token(facts, kv_dtype) or 0),
        compute_bytes=compute_bytes(facts, step_tokens),
    )
