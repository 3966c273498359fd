"""How vLLM is fitted to a model and a machine: context, calls at once, step, KV cache, and why.

Its KV cache is one pool of pages that all calls share, so that context and calls at once are bounds, not a product.
"""

import math
from dataclasses import dataclass, replace

from moorage.config.model import ModelSpec
from moorage.core.facts import ModelFacts
from moorage.core.memory import (
    GIB,
    MEMORY_SHARE,
    MIB,
    MemoryEstimate,
    Use,
    kv_bytes_per_sequence,
    longest_call,
)
from moorage.core.ports import LaunchOrder
from moorage.core.text import human
from moorage.engines.footprints import VLLM, need
from moorage.engines.pooled import SHORTEST, check_context, room_for_cache, use_of
from moorage.errors import EngineError
from moorage.wire.names import Task

LIBRARY = "vllm"
SEQUENCES = 256
"""On accelerators: vLLM's own, and as many as one replica may be given."""
SEQUENCES_CPU = 32
KV_SHARE = 0.25
"""On the processor, of what is left beside the weights: other models and the page cache live here too."""
DEVICE_SHARE = 0.9
"""Of an accelerator's memory, where nobody says."""
LONGEST_CPU = 32768
"""Tokens of a call that nobody asked for explicitly."""
STEP_S = 0.4
"""A step on the processor should last: a call that is cancelled in its prompt stops after one."""
SPEED = 2e11
"""Parameters times prompt tokens that a core works off in a second (135M in 16 bit: 3,000 tokens/s on two)."""
STEP_CPU_LEAST, STEP_CPU_MOST = 128, 1024
STEP = 8192
KV_UNUSED = 64 * MIB
"""Said for an encoder, too: where nothing is said, vLLM wants nearly all of the machine's memory."""
FULL_CALLS = 4
"""Calls of full length the pool on the processor has room for, where there is room: most are much shorter."""
BLOCK = 128
"""Tokens of a page on the processor; on accelerators they are smaller."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    context: int | None
    """None leaves it to what the model was trained for."""
    sequences: int
    batch_tokens: int | None
    """None leaves it to vLLM, which knows the card."""
    kv_bytes: int | None
    """The pool on the processor; on accelerators it is what the share leaves."""
    threads: int
    memory: MemoryEstimate
    why: tuple[str, ...]


def fit(order: LaunchOrder, facts: ModelFacts, task: Task, kv_dtype: str) -> Fit:
    """`facts` with the context as options.rope_scaling stretches it. Raises EngineError for wishes that do not fit."""
    spec = order.model
    check_context(spec, facts.context_length)
    if order.devices:
        return _on_devices(order, facts, task, kv_dtype)
    return _on_processor(order, facts, task, kv_dtype)


def _on_processor(order: LaunchOrder, facts: ModelFacts, task: Task, kv_dtype: str) -> Fit:
    spec, machine, options = order.model, order.machine, order.model.options
    whole, cached = task != "generate", task == "generate" or not _encoder(facts)
    sequences, sequences_why = _sequences(spec, SEQUENCES_CPU)
    threads = options.threads or machine.cores
    short = _step(facts, threads)
    use = use_of(
        spec, context=SHORTEST, sequences=1, step_tokens=short, kv_dtype=kv_dtype, cached=cached, on_device=False
    )
    bare = need(LIBRARY, facts, replace(use, pool_bytes=0))
    left = machine.memory_bytes * MEMORY_SHARE - bare.total_bytes
    room = left * KV_SHARE
    room_why = f"{FULL_CALLS} of full length, and no more than {KV_SHARE:.0%} of what is left beside the weights"
    if options.memory_fraction is not None:
        room = machine.memory_bytes * options.memory_fraction - bare.total_bytes
        room_why = "options.memory_fraction of the machine's memory, less the weights"
    if left <= 0 or room <= 0:
        raise EngineError(
            f"model {spec.name!r} would need {human(bare.total_bytes)} of memory before any KV cache, this machine has "
            f"{human(machine.memory_bytes)}: take a smaller model or another engine"
        )
    tokens = longest_call(facts, VLLM, use, room)
    tokens = tokens - 2 * BLOCK if tokens is not None else None
    context, context_why = _context(spec, facts, tokens, LONGEST_CPU if not whole else None)
    step = options.batch_tokens or max(short, (context or 0) if whole else sequences)
    use = replace(use, context=context or SHORTEST, sequences=sequences, step_tokens=step)
    kv_bytes = _pool(kv_bytes_per_sequence(facts, VLLM, use), use, room, left) if cached else KV_UNUSED
    memory = need(LIBRARY, facts, replace(use, pool_bytes=kv_bytes))
    if memory.total_bytes > machine.memory_bytes * MEMORY_SHARE:
        raise EngineError(
            f"model {spec.name!r} would need {human(memory.total_bytes)} of memory ({human(memory.weights_bytes)} "
            f"weights, {human(memory.kv_bytes)} KV cache), this machine has {human(machine.memory_bytes)}: lower "
            "options.max_model_len"
        )
    return Fit(
        context=context,
        sequences=sequences,
        batch_tokens=step,
        kv_bytes=kv_bytes,
        threads=threads,
        memory=memory,
        why=(
            context_why,
            sequences_why,
            f"{threads} threads: {'options.threads' if options.threads else 'one for each core'}",
            f"{step} tokens a step: {_step_why(spec, whole=whole)}",
            *((f"{human(kv_bytes)} of KV cache for all calls together: {room_why}",) if cached else ()),
            _memory_why(memory),
        ),
    )


def _pool(per_call: int, use: Use, room: float, left: float) -> int:
    """Bytes of the pool on the processor: what a few long calls need, and one of full length at any rate.

    `per_call` is what one of full length takes.
    """
    if not per_call:
        return min(GIB, int(room))  # vLLM says what it needs if it is too little
    block = per_call * BLOCK / use.context
    wanted = min(use.sequences, FULL_CALLS) * (per_call + block) + block
    least = per_call + 2 * block
    return math.ceil(max(min(wanted, room), min(least, left)) / MIB) * MIB


def _encoder(facts: ModelFacts) -> bool:
    """Whether every token sees every other, so that no keys and values are kept."""
    return "bert" in facts.architecture or facts.architecture in ("mpnet", "electra", "new", "t5encoder")


def _on_devices(order: LaunchOrder, facts: ModelFacts, task: Task, kv_dtype: str) -> Fit:
    spec, options = order.model, order.model.options
    sequences, sequences_why = _sequences(spec, SEQUENCES)
    share = options.memory_fraction or DEVICE_SHARE
    smallest = min(device.memory_bytes for device in order.devices)
    whole, cached = task != "generate", task == "generate" or not _encoder(facts)
    use = use_of(
        spec,
        context=SHORTEST,
        sequences=sequences,
        step_tokens=options.batch_tokens or STEP,
        kv_dtype=kv_dtype,
        cached=cached,
    )
    bare = need(LIBRARY, facts, replace(use, pool_bytes=0))
    room = room_for_cache(spec, bare, smallest, share)
    context, context_why = _context(spec, facts, longest_call(facts, VLLM, use, room), None)
    memory = need(LIBRARY, facts, replace(use, context=context or SHORTEST, pool_bytes=room))
    batch = options.batch_tokens
    if batch is None and whole and context is not None:
        batch = max(STEP, context)  # an encoder reads a text in one step
    return Fit(
        context=context,
        sequences=sequences,
        batch_tokens=batch,
        kv_bytes=None,
        threads=options.threads or order.machine.cores,
        memory=memory,
        why=(
            context_why,
            sequences_why,
            f"{share:.0%} of each card's memory: "
            + ("options.memory_fraction" if options.memory_fraction else "weights, KV cache and all"),
            _memory_why(memory),
        ),
    )


def _context(spec: ModelSpec, facts: ModelFacts, tokens: int | None, most: int | None) -> tuple[int | None, str]:
    """`tokens` of KV cache have room; `most` nobody gets without asking."""
    trained, wanted = facts.context_length, spec.options.max_model_len
    if wanted is not None:
        return wanted, f"{wanted} tokens a call: options.max_model_len"
    bounds = [bound for bound in (trained, most, tokens) if bound is not None]
    if trained is None and tokens is None:
        return None, "tokens a call as vLLM reads them from the files"
    context = min(bounds)
    if context != trained:
        context = max(min(SHORTEST, trained or SHORTEST), context // 256 * 256)
    if context == trained:
        return context, f"{context} tokens a call: what the model was trained for"
    said = f"; the model was trained for {trained}" if trained else ""
    if context == most:
        return context, f"{context} tokens a call: enough for most{said}, set options.max_model_len for more"
    return context, f"{context} tokens a call: what the KV cache holds{said}"


def _sequences(spec: ModelSpec, most: int) -> tuple[int, str]:
    wanted = spec.options.max_sequences
    if wanted is not None:
        return wanted, f"{wanted} calls at once: options.max_sequences"
    return most, f"{most} calls at once at most: they share the pages of one KV cache"


def _step(facts: ModelFacts, threads: int) -> int:
    tokens = STEP_S * SPEED * threads / facts.parameters if facts.parameters else STEP_CPU_MOST
    return min(STEP_CPU_MOST, max(STEP_CPU_LEAST, int(tokens) // BLOCK * BLOCK))


def _step_why(spec: ModelSpec, *, whole: bool) -> str:
    if spec.options.batch_tokens:
        return "options.batch_tokens"
    return "a text is encoded in one" if whole else "a call that is cancelled in its prompt stops after one"


def _memory_why(memory: MemoryEstimate) -> str:
    return (
        f"about {human(memory.total_bytes)} of memory: {human(memory.weights_bytes)} weights, "
        f"{human(memory.kv_bytes)} KV cache, {human(memory.compute_bytes)} buffers, "
        f"{human(memory.process_bytes)} the processes"
    )
