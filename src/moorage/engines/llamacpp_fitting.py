"""How llama.cpp is fitted to a file and a machine: slots, context, step, threads, caches, and why."""

from dataclasses import dataclass, replace
from typing import Literal

from moorage.config.model import ModelSpec
from moorage.core.facts import ModelFacts
from moorage.core.memory import MEMORY_SHARE, MIB, MemoryEstimate, Use, kv_bytes_per_sequence
from moorage.core.text import human
from moorage.engines.footprints import LLAMACPP, need
from moorage.errors import EngineError
from moorage.wire.control import Machine
from moorage.wire.names import Task

KV_SHARE = 0.25
"""Of what is left beside the weights: other models and the page cache live here too."""
BYTES_A_THREAD = 128 * MIB
"""Weights that a thread reads for a token before a second thread is worth waiting for. Threads that wait for each other
stand still whenever another program takes the core of one: beside a busy encoder on two cores a stream of a 94 MB model
fell from 130 to 22 tokens/s with two threads, to 96 with one, and alone was as fast with one (make bench-beside)."""
SLOTS = 4
SLOTS_EMBED = 2
LONG_ENOUGH = 8192
"""Tokens a slot should hold before another slot is worth its memory."""
LONGEST = 32768
"""Tokens of a slot that nobody asked for explicitly."""
SHORTEST = 512
STEP_TOKENS = 256
"""Half a second of prompt on two slow cores: a call that is cancelled in its prompt stops after one step."""
EMBED_LONGEST = 2048
"""An embedding is computed in one step, whose buffers grow with it."""
PROMPT_CACHE_SHARE = 1 / 32
PROMPT_CACHE_MAX_MIB = 1024
PROMPT_CACHE_OF_NEED = 1 / 4
"""A small model is to stay small: the cache takes no more than this beside what the model itself needs."""


KvCacheDtype = Literal["f32", "f16", "bf16", "q8_0", "q4_0"]


@dataclass(frozen=True, kw_only=True)
class Fit:
    slots: int
    context: int
    """Tokens of one slot."""
    threads: int
    stream_threads: int
    batch_tokens: int
    kv_cache_dtype: KvCacheDtype
    prompt_cache_mib: int
    use: Use
    memory: MemoryEstimate
    """On the processor."""
    why: tuple[str, ...]


def fit(spec: ModelSpec, facts: ModelFacts, machine: Machine, task: Task) -> Fit:
    """Raises EngineError for wishes that do not fit."""
    options = spec.options
    dtype, dtype_why = _kv_cache_dtype(spec)
    _check_wishes(spec, facts, task)
    slots, context, why = _room(spec, facts, machine, task, dtype)
    step, step_why = _step(options.batch_tokens, context, task)
    threads = options.threads or machine.cores
    stream_threads = options.threads or min(threads, max(1, round(facts.size_bytes / BYTES_A_THREAD)))
    use = Use(
        context=context, sequences=slots, step_tokens=step, kv_dtype=dtype, cached=not encoder(facts.architecture)
    )
    wanted = need("llama.cpp", facts, use)
    _check_memory(spec.name, wanted, machine)
    cache_mib = 0
    if options.prefix_caching and task == "generate":
        bounds = (machine.memory_bytes * PROMPT_CACHE_SHARE, wanted.total_bytes * PROMPT_CACHE_OF_NEED)
        cache_mib = max(0, min(PROMPT_CACHE_MAX_MIB, int(min(bounds)) // MIB))
    return Fit(
        slots=slots,
        context=context,
        threads=threads,
        stream_threads=stream_threads,
        batch_tokens=step,
        kv_cache_dtype=dtype,
        prompt_cache_mib=cache_mib,
        use=replace(use, cache_bytes=cache_mib * MIB),
        memory=replace(wanted, cache_bytes=cache_mib * MIB),
        why=(
            *why,
            f"{threads} threads: {'options.threads' if options.threads else 'one for each core'}",
            *_stream_threads_why(stream_threads, threads),
            step_why,
            dtype_why,
            _cache_why(cache_mib, prefix_caching=options.prefix_caching, task=task),
            f"about {human(wanted.total_bytes)} of memory: {human(wanted.weights_bytes)} weights, "
            f"{human(wanted.kv_bytes)} KV cache, {human(wanted.compute_bytes)} buffers, "
            f"{human(wanted.process_bytes)} the process",
        ),
    )


def _kv_cache_dtype(spec: ModelSpec) -> tuple[KvCacheDtype, str]:
    wanted = spec.options.kv_cache_dtype
    if wanted == "auto":
        return "f16", "KV cache in f16: the exact one"
    if wanted == "fp8":
        return "q8_0", "KV cache in q8_0: the nearest to fp8 that llama.cpp has (options.kv_cache_dtype)"
    return wanted, f"KV cache in {wanted}: options.kv_cache_dtype"


def _stream_threads_why(stream_threads: int, threads: int) -> tuple[str, ...]:
    if stream_threads == threads:
        return ()
    return (f"{stream_threads} for a stream alone: its tokens come no faster from more with so small a model",)


def _check_wishes(spec: ModelSpec, facts: ModelFacts, task: Task) -> None:
    if spec.options.quantization != "none":
        raise EngineError(
            f"model {spec.name!r}: options.quantization is for safetensors; a GGUF file is quantised already: take the "
            "one with the numbers you want, like Q8_0 or Q4_K_M"
        )
    wanted, trained = spec.options.max_model_len, facts.context_length
    stretched = any(key.startswith(("rope_", "yarn_")) for key in spec.options.extra_args)
    if wanted and trained and wanted > trained and not stretched:
        raise EngineError(
            f"model {spec.name!r}: options.max_model_len is {wanted}, but the model was trained for {trained} tokens; "
            f"set {trained} or less, or stretch it knowingly with rope_scaling_type and rope_freq_scale in "
            "options.extra_args"
        )
    if facts.task == "embed" and facts.pooling is None and task == "generate" and facts.chat_template is None:
        raise EngineError(f"model {spec.name!r} is an encoder ({facts.architecture}): set task to embed")


def _room(
    spec: ModelSpec, facts: ModelFacts, machine: Machine, task: Task, dtype: str
) -> tuple[int, int, tuple[str, str]]:
    """Slots and the tokens of each."""
    options = spec.options
    trained = facts.context_length or LONG_ENOUGH
    least = Use(context=0, sequences=0, step_tokens=STEP_TOKENS, kv_dtype=dtype)
    left = max(0.0, machine.memory_bytes * MEMORY_SHARE - need("llama.cpp", facts, least).total_bytes)
    tokens = _tokens(left * KV_SHARE, facts, replace(least, context=LONG_ENOUGH))
    ceiling = min(trained, LONGEST if task == "generate" else EMBED_LONGEST)
    most = SLOTS if task == "generate" else SLOTS_EMBED
    slots = options.max_sequences or most
    slots_why = f"{slots} calls at once: options.max_sequences"
    if options.max_sequences is None:
        wish = options.max_model_len or min(ceiling, LONG_ENOUGH)
        while slots > 1 and slots * wish > tokens:
            slots //= 2
        slots_why = f"{slots} calls at once: as many as have room for {wish} tokens each, {most} at most"
    if options.max_model_len is not None:
        return (
            slots,
            options.max_model_len,
            (f"{options.max_model_len} tokens a call: options.max_model_len", slots_why),
        )
    room = tokens // slots
    context = max(SHORTEST, min(ceiling, room // 256 * 256))
    context = min(context, trained)
    if context == trained:
        reason = "what the model was trained for"
    elif context == ceiling:
        reason = f"enough for most; the model was trained for {trained}, set options.max_model_len for more"
    else:
        reason = f"what a quarter of the free memory holds; the model was trained for {trained}"
    return slots, context, (f"{context} tokens a call: {reason}", slots_why)


def memory_on(devices: int, chosen: Fit, facts: ModelFacts) -> MemoryEstimate:
    """Where so many accelerators hold layers in turn; the prompts that are kept stay in the processor's memory."""
    if not devices:
        return chosen.memory
    split = replace(chosen.use, on_device=True, pipeline_parallel=devices, cache_bytes=0)
    found = need("llama.cpp", facts, split)
    return replace(found, host_bytes=found.host_bytes + chosen.use.cache_bytes)


def _tokens(room_bytes: float, facts: ModelFacts, use: Use) -> int:
    """That fit into the room, as dear as those of a long call are on average: a window makes long ones cheaper."""
    each = kv_bytes_per_sequence(facts, LLAMACPP, use) / use.context
    return int(room_bytes / each) if each else SLOTS * LONG_ENOUGH


def encoder(architecture: str) -> bool:
    """Whether llama.cpp keeps no keys and values for it."""
    return "bert" in architecture or architecture in ("t5encoder", "gemma-embedding", "llama-embed")


def _step(wanted: int | None, context: int, task: Task) -> tuple[int, str]:
    if task != "generate":
        return context, f"{context} tokens a step: a text is encoded in one"
    if wanted is not None:
        return wanted, f"{wanted} prompt tokens a step: options.batch_tokens"
    return STEP_TOKENS, f"{STEP_TOKENS} prompt tokens a step: a call that is cancelled stops after one step"


def _check_memory(name: str, need: MemoryEstimate, machine: Machine) -> None:
    if need.total_bytes > machine.memory_bytes * MEMORY_SHARE:
        raise EngineError(
            f"model {name!r} would need {human(need.total_bytes)} of memory ({human(need.weights_bytes)} weights, "
            f"{human(need.kv_bytes)} KV cache), this machine has {human(machine.memory_bytes)}: lower "
            "options.max_model_len or options.max_sequences, or set options.kv_cache_dtype to q8_0"
        )


def _cache_why(mib: int, *, prefix_caching: bool, task: Task) -> str:
    if task != "generate":
        return "no prompt cache: encoders have no use for one"
    if not prefix_caching:
        return "no prompt cache: options.prefix_caching is off"
    return f"up to {human(mib * MIB)} for prompts of conversations without a slot: 1/32 of the memory, at most 1 GB"
