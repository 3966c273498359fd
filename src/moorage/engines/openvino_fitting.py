"""How OpenVINO GenAI is fitted to a model and a machine: sequences, context, cache, step, threads, and why."""

from dataclasses import dataclass
from typing import Literal

from moorage.config.model import ModelSpec
from moorage.core.facts import ModelFacts
from moorage.core.memory import MEMORY_SHARE, MIB, MemoryEstimate, Use, kv_bytes_per_token
from moorage.core.text import human
from moorage.engines.footprints import OPENVINO, need
from moorage.errors import EngineError
from moorage.wire.control import Machine

ENGINE = "openvino"
KV_SHARE = 0.25
"""Of what is left beside the weights: other models and the page cache live here too."""
SEQUENCES = 16
"""More streams at once cost each of them time, and all together gain little on a processor."""
FULL_LENGTH = 4
"""So many calls of full length the cache holds at once; shorter ones share it. A call that finds no room waits."""
LONG_ENOUGH = 8192
LONGEST = 32768
"""Tokens of a call that nobody asked for explicitly."""
SHORTEST = 512
STEP_S = 0.3
"""Of a step in a prompt: a call that is cancelled there stops after one."""
READ_A_THREAD = 80_000 * MIB
"""Bytes of weights times tokens of a prompt that a thread computes in a second: measured with SmolLM2 in Q4_1."""
STEP_MIN, STEP_MAX = 32, 256
KV_TYPES: dict[str, Literal["u8", "u4", "f16", "bf16", "f32"]] = {
    "auto": "u8", "fp8": "u8", "q8_0": "u8", "q4_0": "u4", "f16": "f16", "bf16": "bf16", "f32": "f32",
}  # fmt: skip
PRECISIONS: dict[str, Literal["f32", "f16", "bf16"]] = {
    "auto": "f32", "float32": "f32", "float16": "f16", "bfloat16": "bf16",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Fit:
    sequences: int
    context: int
    """Tokens of one call."""
    cache_tokens: int
    threads: int
    batch_tokens: int
    kv_cache_dtype: Literal["u8", "u4", "f16", "bf16", "f32"]
    precision: Literal["f32", "f16", "bf16"]
    memory: MemoryEstimate
    why: tuple[str, ...]


def fit(spec: ModelSpec, facts: ModelFacts, machine: Machine) -> Fit:
    """Raises EngineError for wishes that do not fit."""
    options = spec.options
    _check_wishes(spec, facts)
    kv = KV_TYPES[options.kv_cache_dtype]
    threads = options.threads or machine.cores
    sequences = options.max_sequences or SEQUENCES
    step, step_why = _step(options.batch_tokens, facts, threads, sequences)
    least = Use(context=0, sequences=0, step_tokens=step, kv_dtype=kv)
    each = kv_bytes_per_token(facts, least, OPENVINO) or 0
    context, cache, context_why, cache_why = _room(spec, facts, machine, least, each, sequences)
    use = Use(context=context, sequences=sequences, step_tokens=step, kv_dtype=kv, pool_bytes=cache * each)
    memory = need(ENGINE, facts, use)
    _check_memory(spec.name, memory, machine)
    asked = "options.max_sequences" if options.max_sequences else "one step computes a token of each"
    return Fit(
        sequences=sequences,
        context=context,
        cache_tokens=cache,
        threads=threads,
        batch_tokens=step,
        kv_cache_dtype=kv,
        precision=PRECISIONS[options.dtype],
        memory=memory,
        why=(
            context_why,
            f"{sequences} calls at once: {asked}",
            cache_why,
            f"{threads} threads: {'options.threads' if options.threads else 'one for each core'}",
            step_why,
            _kv_why(options.kv_cache_dtype, kv),
            _precision_why(options.dtype, facts),
            f"about {human(memory.total_bytes)} of memory: {human(memory.weights_bytes)} weights, "
            f"{human(memory.kv_bytes)} KV cache, {human(memory.compute_bytes)} buffers, "
            f"{human(memory.process_bytes)} the process",
        ),
    )


def _check_wishes(spec: ModelSpec, facts: ModelFacts) -> None:
    if spec.options.quantization != "none":
        raise EngineError(
            f"model {spec.name!r}: options.quantization is for safetensors; these files are quantised already: take "
            "those with the numbers you want, like Q8_0 or an IR in int4"
        )
    wanted, trained = spec.options.max_model_len, facts.context_length
    if wanted and trained and wanted > trained:
        raise EngineError(
            f"model {spec.name!r}: options.max_model_len is {wanted}, but the model was trained for {trained} tokens; "
            f"set {trained} or less"
        )


def _room(
    spec: ModelSpec, facts: ModelFacts, machine: Machine, least: Use, each: int, sequences: int
) -> tuple[int, int, str, str]:
    """Tokens of a call and of the cache, and why."""
    wanted, trained = spec.options.max_model_len, facts.context_length or LONG_ENOUGH
    left = max(0.0, machine.memory_bytes * MEMORY_SHARE - need(ENGINE, facts, least).total_bytes)
    room = int(left * KV_SHARE / each) if each else FULL_LENGTH * LONG_ENOUGH
    if wanted is not None:
        context, reason = wanted, "options.max_model_len"
    else:
        ceiling = min(trained, LONGEST)
        context = min(max(SHORTEST, min(ceiling, room // 256 * 256)), trained)
        if context == trained:
            reason = "what the model was trained for"
        elif context == ceiling:
            reason = f"enough for most; the model was trained for {trained}, set options.max_model_len for more"
        else:
            reason = f"what a quarter of the free memory holds; the model was trained for {trained}"
    most = min(FULL_LENGTH, sequences) * context
    cache = max(context, min(most, room))
    share = f"{cache / context:.3g} calls of full length, or more that are shorter"
    return context, cache, f"{context} tokens a call: {reason}", f"{cache} tokens of KV cache: {share}"


def _step(wanted: int | None, facts: ModelFacts, threads: int, sequences: int) -> tuple[int, str]:
    if wanted is not None:
        return max(wanted, sequences), f"{max(wanted, sequences)} tokens a step: options.batch_tokens"
    fitting = int(STEP_S * READ_A_THREAD * threads / max(facts.size_bytes, 1)) // 32 * 32
    step = max(STEP_MIN, sequences, min(STEP_MAX, fitting))
    return step, f"{step} tokens a step: about {STEP_S:g} s at most, after which a cancelled call stops"


def _kv_why(wanted: str, kv: str) -> str:
    if wanted == "auto":
        return f"KV cache in {kv}: eight bits a number, half the memory of f16"
    if wanted == kv:
        return f"KV cache in {kv}: options.kv_cache_dtype"
    return f"KV cache in {kv}: the nearest to {wanted} that OpenVINO has (options.kv_cache_dtype)"


def _precision_why(wanted: str, facts: ModelFacts) -> str:
    packed = facts.quantization or "the files' numbers"
    exact = f"weights stay in {packed}, what is computed from them"
    if wanted == "auto":
        return f"{exact} in f32: half as many bits gave NaN on some processors"
    return f"{exact} in {PRECISIONS[wanted]}: options.dtype"


def _check_memory(name: str, memory: MemoryEstimate, machine: Machine) -> None:
    if memory.total_bytes > machine.memory_bytes * MEMORY_SHARE:
        raise EngineError(
            f"model {name!r} would need {human(memory.total_bytes)} of memory ({human(memory.weights_bytes)} weights, "
            f"{human(memory.kv_bytes)} KV cache), this machine has {human(machine.memory_bytes)}: lower "
            "options.max_model_len, or set options.kv_cache_dtype to q8_0"
        )
