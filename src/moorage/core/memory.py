"""How much memory a model takes: an estimate by parts from what its files say, before anything is loaded. Pure.

Weights are what the engine makes of the files. The KV cache holds a key and a value per layer, per key-value head
(fewer than heads where they are grouped) and token; layers with a sliding window keep its tokens only, compressed ones
(MLA) one vector for both. Computing a step takes activations and logits. The process itself is interpreter, libraries
and the tokenizer's tables. What an engine makes of all this is data, its Footprint; what is asked of it is a Use.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from moorage.core.facts import ModelFacts
from moorage.core.text import human

MIB = 1 << 20
GIB = 1 << 30

NUMBER_BYTES: Mapping[str, float] = {
    "f32": 4.0,
    "f16": 2.0,
    "bf16": 2.0,
    "fp8": 1.0,
    "q8_0": 34 / 32,
    "q4_0": 18 / 32,
    "u8": 1.1875,
    "u4": 0.6875,
}
"""Of a number in the KV cache. q8_0 and q4_0 keep 32 numbers and a two-byte scale in a block; u8 and u4 are OpenVINO's,
with a scale and a zero point a group: 32 tokens of a key's number, one token's value of a head."""
FLOATS: Mapping[str, float] = {"F32": 4, "FP32": 4, "FLOAT": 4, "FLOAT32": 4, "F16": 2, "BF16": 2, "FP16": 2} | {
    "FLOAT16": 2,
    "BFLOAT16": 2,
}
"""Formats of weights whose numbers may be read into another format as they are loaded."""
DTYPE_BYTES: Mapping[str, float] = {"float32": 4, "float16": 2, "bfloat16": 2}
QUANTIZED_BYTES: Mapping[str, float] = {"int8": 1 + 2 / 128, "fp8": 1, "int4": 0.5 + 4 / 128, "nf4": 0.5 + 4 / 64}
"""Of a weight that is made smaller as it is loaded, its share of scale and zero point counted."""
MEMORY_SHARE = 0.9
"""Of a machine's memory, what engines may use; the rest is the system's and ours."""
OWN_BYTES = 192 * MIB
"""What a server takes besides its engines: supervisor, a gateway, keepers. Counts where memory is small."""


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """In bytes: of the processor's memory, or of each of `devices` accelerators, the one that takes most."""

    weights_bytes: int
    kv_bytes: int
    compute_bytes: int
    process_bytes: int = 0
    """Interpreter, libraries and tables; on an accelerator the context of its driver."""
    cache_bytes: int = 0
    """What may grow beside the rest while it runs: prompts that are kept."""
    kv_bytes_per_token: int = 0
    """Of one more token of context in every layer that keeps all of them."""
    kv_bytes_per_sequence: int = 0
    """Of one call of full length, windows included."""
    kv_least_bytes: int = 0
    """With less KV cache than this it does not start."""
    devices: int = 0
    host_bytes: int = 0
    """What an engine on accelerators takes of the processor's memory."""

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.kv_bytes + self.compute_bytes + self.process_bytes + self.cache_bytes

    @property
    def least_bytes(self) -> int:
        """What it must have to start at all, where its cache may be as small as can be."""
        return self.total_bytes - self.cache_bytes - self.kv_bytes + min(self.kv_bytes, self.kv_least_bytes)

    @property
    def processor_bytes(self) -> int:
        """Of the machine's own memory."""
        return self.host_bytes if self.devices else self.total_bytes

    @property
    def started_bytes(self) -> int:
        """Of the machine's own memory, without the prompts that it may come to keep."""
        return self.processor_bytes - (0 if self.devices else self.cache_bytes)


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """What an engine takes for a model, apart from the model: measured where it runs, see `make bench-memory`."""

    process_bytes: int
    """Interpreter and libraries of one process, without a model."""
    vocabulary_bytes: int = 0
    """Of the tokenizer's tables for one entry."""
    inner: float = 0.0
    """Activations of one prompt token, in multiples of the widest inner layer …"""
    embedding: float = 0.0
    """… and of the embedding."""
    activation_bytes: int = 4
    every_logit: bool = False
    """Whether logits of every token of a step are computed; else those of one token a sequence."""
    logit_copies: float = 0.0
    """How many times logits are there beside those of the computation, which take the place of activations."""
    mask_bytes: int = 0
    """Of the attention mask for one prompt token and one token of context."""
    scores: float = 0.0
    """Attention scores from each token of a step to each of its text, in multiples of heads."""
    sequence_bytes: int = 0
    """What else a call takes while it runs."""
    weights: Mapping[str, float] = field(default_factory=dict[str, float])
    """How many times its size in the files a model's weights take, by number format in the files' words; \"\": any."""
    nearest: Mapping[str, str] = field(default_factory=dict[str, str])
    """What it makes of a quantisation that it lacks."""
    table_bytes: float = 2.0
    """Of a number of the embedding, where the layers are made smaller as they are loaded."""
    block_tokens: int = 1
    """The KV cache is cut into blocks of so many tokens."""
    window: Literal["kept", "step", "blocks"] = "kept"
    """What layers with a sliding window keep: every token; the window, a step, rounded up; the window in blocks."""
    window_multiple: int = 256
    device_bytes: int = 0
    """On each accelerator: the driver's context, the libraries' workspaces."""
    graph_bytes: int = 0
    """Recorded steps of the computation (CUDA graphs) on each accelerator."""
    rank_bytes: int = 0
    """Of the processor's memory for each further process of one engine, which computes on one accelerator."""


@dataclass(frozen=True, kw_only=True)
class Use:
    """What is asked of an engine, in neutral words."""

    context: int
    """Tokens of one call."""
    sequences: int
    """Calls at once."""
    step_tokens: int
    """Prompt tokens computed together."""
    kv_dtype: str = "f16"
    """A key of NUMBER_BYTES."""
    cached: bool = True
    """Encoders keep no keys and values."""
    pool_bytes: int | None = None
    """The KV cache an engine takes at its start, however little its calls need. None: what the calls need."""
    cache_bytes: int = 0
    dtype: str = "auto"
    """As options.dtype."""
    quantization: str = "none"
    """As options.quantization; awq and gptq are as the files have them."""
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    data_parallel: int = 1
    on_device: bool = False
    graphs: bool = False
    offload_bytes: int = 0
    """Weights of each accelerator that stay in the processor's memory."""


def estimate(facts: ModelFacts, footprint: Footprint, use: Use) -> MemoryEstimate:
    """What an engine takes. What the files do not say counts as nothing; see `kv_bytes_per_token`."""
    per_token = kv_bytes_per_token(facts, use, footprint) or 0
    per_sequence = kv_bytes_per_sequence(facts, footprint, use)
    needed = per_sequence * use.sequences
    weights = weights_bytes(facts, footprint, use)
    compute = compute_bytes(facts, footprint, use)
    tables = footprint.vocabulary_bytes * (facts.vocabulary or 0)
    ranks = use.tensor_parallel * use.pipeline_parallel * use.data_parallel
    host = 0
    process = footprint.process_bytes + tables
    if use.on_device:
        offloaded = min(use.offload_bytes, weights)
        weights -= offloaded
        host = process + ranks * (footprint.rank_bytes + offloaded)
        process = footprint.device_bytes + (footprint.graph_bytes if use.graphs else 0)
    elif ranks > 1:
        process += (ranks - 1) * footprint.rank_bytes
        weights, compute, needed = weights * ranks, compute * ranks, needed * ranks
    return MemoryEstimate(
        weights_bytes=weights,
        kv_bytes=needed if use.pool_bytes is None else max(0, use.pool_bytes),
        compute_bytes=compute,
        process_bytes=process,
        cache_bytes=use.cache_bytes,
        kv_bytes_per_token=per_token,
        kv_bytes_per_sequence=per_sequence,
        kv_least_bytes=needed if use.pool_bytes is None else per_sequence,
        devices=ranks if use.on_device else 0,
        host_bytes=host,
    )


def weights_bytes(facts: ModelFacts, footprint: Footprint, use: Use) -> int:
    """On one rank: layers are shared, the embedding is on the first and last stage of a pipeline."""
    total = _all_weights_bytes(facts, footprint, use)
    table = min(total, round((facts.vocabulary or 0) * (facts.embedding_length or 0) * _table_bytes(facts)))
    layers = facts.layers or 0
    stage = math.ceil(layers / use.pipeline_parallel) / layers if layers else 1 / use.pipeline_parallel
    of_stage = total if use.pipeline_parallel == 1 else table + (total - table) * stage
    return math.ceil(of_stage / use.tensor_parallel)


def _all_weights_bytes(facts: ModelFacts, footprint: Footprint, use: Use) -> float:
    words = (facts.quantization or "").upper()
    parameters = facts.parameters or 0
    made = footprint.nearest.get(use.quantization, use.quantization)
    if made in QUANTIZED_BYTES and parameters:
        # The embedding and what follows the last layer stay as they are.
        kept = min(parameters, (facts.vocabulary or 0) * (facts.embedding_length or 0))
        return kept * footprint.table_bytes + (parameters - kept) * QUANTIZED_BYTES[made]
    if use.dtype in DTYPE_BYTES and words in FLOATS and parameters:
        return parameters * DTYPE_BYTES[use.dtype]
    factor = footprint.weights.get(words, footprint.weights.get("", 1.0))
    return facts.size_bytes * factor


def _table_bytes(facts: ModelFacts) -> float:
    """Of a number of the embedding: as large as the others as a rule."""
    return facts.size_bytes / facts.parameters if facts.parameters else 2.0


def kv_bytes_per_token(facts: ModelFacts, use: Use, footprint: Footprint | None = None) -> int | None:
    """Bytes of the KV cache on one rank for one more token of a long call. None where the files do not say enough.

    Layers with a window count where the engine keeps every token of them.
    """
    numbers = _kv_numbers(facts, use.tensor_parallel)
    if numbers is None:
        return None
    kept = footprint is not None and footprint.window == "kept"
    layers = _kv_layers(facts) - (0 if kept else facts.window_layers or 0)
    return math.ceil(max(0, layers) / use.pipeline_parallel * numbers * NUMBER_BYTES[use.kv_dtype])


def kv_bytes_per_sequence(facts: ModelFacts, footprint: Footprint, use: Use) -> int:
    """Bytes of the KV cache on one rank for a call of full length; 0 where the files do not say enough."""
    numbers = _kv_numbers(facts, use.tensor_parallel)
    if numbers is None or not use.cached:
        return 0
    sliding = min(facts.window_layers or 0, _kv_layers(facts))
    tokens = _rounded(use.context, footprint.block_tokens)
    of_layers = (_kv_layers(facts) - sliding) * tokens + sliding * window_tokens(facts, footprint, use)
    return math.ceil(of_layers / use.pipeline_parallel * numbers * NUMBER_BYTES[use.kv_dtype])


def longest_call(facts: ModelFacts, footprint: Footprint, use: Use, room_bytes: float) -> int | None:
    """Tokens of one call whose KV cache fills the room; None where more tokens take no more, or nothing is known."""
    # Beyond its windows a call takes the same for each token; below, more.
    long = 2 * ((facts.window or 0) + use.step_tokens + footprint.block_tokens)
    taken, twice = (
        kv_bytes_per_sequence(facts, footprint, replace(use, context=context)) for context in (long, 2 * long)
    )
    each = (twice - taken) / long
    if not each:
        return None
    if room_bytes < taken:
        return max(0, int(room_bytes / (taken / long)))
    return long + int((room_bytes - taken) / each)


def window_tokens(facts: ModelFacts, footprint: Footprint, use: Use) -> int:
    """Tokens that a layer with a sliding window keeps of a call of full length."""
    whole = _rounded(use.context, footprint.block_tokens)
    if not facts.window or footprint.window == "kept":
        return whole
    if footprint.window == "step":
        return min(whole, _rounded(facts.window + use.step_tokens, footprint.window_multiple))
    # A step is added before what leaves the window is freed, and the window lies across one block more than it fills
    # (vLLM's SlidingWindowSpec).
    kept = min(facts.window - 1 + use.step_tokens, use.context)
    return _rounded(kept, footprint.block_tokens) + footprint.block_tokens


def compute_bytes(facts: ModelFacts, footprint: Footprint, use: Use) -> int:
    """Buffers of a step on one rank."""
    ranks, steps = use.tensor_parallel, use.step_tokens
    inner = (facts.feed_forward_length or 4 * (facts.embedding_length or 0)) / ranks
    width = footprint.inner * inner + footprint.embedding * (facts.embedding_length or 0)
    activations = steps * width * footprint.activation_bytes
    counted = steps if footprint.every_logit else min(steps, use.sequences) if facts.task == "generate" else 0
    logits = counted * (facts.vocabulary or 0) * 4
    masks = (1 if use.cached else 0) * steps * footprint.mask_bytes * use.context
    if facts.window and footprint.window == "step":
        masks += steps * footprint.mask_bytes * window_tokens(facts, footprint, use)
    scores = steps * (facts.heads or 0) / ranks * min(use.context, steps) * footprint.scores * 4
    together = max(activations, logits) + footprint.logit_copies * logits
    return math.ceil(together + masks + scores + use.sequences * footprint.sequence_bytes)


def usable_bytes(machine_bytes: int) -> int:
    """What all engines of a machine may use together."""
    return max(0, int(min(machine_bytes * MEMORY_SHARE, machine_bytes - OWN_BYTES)))


def shortage(need: MemoryEstimate | None, machine_bytes: int, device_bytes: float) -> str:
    """What there is too little of for a start, in words; empty where there is enough or nothing is known.

    `device_bytes` is what may be used of the smallest of its accelerators.
    """
    if need is None:
        return ""
    if need.kv_bytes < need.kv_least_bytes:
        per_call = need.kv_bytes_per_sequence
        return (
            f"one call of full length takes {human(per_call)} of KV cache, and {human(need.kv_bytes)} are left for it: "
            "lower options.max_model_len"
        )
    if need.devices and need.least_bytes > device_bytes:
        return (
            f"it needs {human(need.least_bytes)} of each accelerator it computes on, and may use {human(device_bytes)}"
        )
    usable = machine_bytes * MEMORY_SHARE
    if need.processor_bytes - need.cache_bytes > usable:
        return f"it needs {human(need.processor_bytes)} of memory, and may use {human(usable)} of this machine"
    return ""


def _kv_layers(facts: ModelFacts) -> int:
    return facts.layers or 0 if facts.kv_layers is None else facts.kv_layers


def _kv_numbers(facts: ModelFacts, tensor_parallel: int) -> float | None:
    """Numbers of one token in one layer on one rank."""
    if facts.latent_length:
        return facts.latent_length if _kv_layers(facts) else None  # each rank holds all of it
    heads = facts.kv_heads or facts.heads
    if not (_kv_layers(facts) and heads and facts.key_length and facts.value_length):
        return None
    return max(1.0, heads / tensor_parallel) * (facts.key_length + facts.value_length)


def _rounded(tokens: int, multiple: int) -> int:
    return -(-tokens // multiple) * multiple
