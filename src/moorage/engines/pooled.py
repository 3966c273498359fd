"""How engines that keep one pool of pages for all calls are fitted on accelerators: context, calls at once, and why.

Context and calls are bounds, not a product: the pool takes what the share of memory leaves beside the weights.
"""

from dataclasses import dataclass, replace

from moorage.config.model import ModelSpec
from moorage.core.facts import ModelFacts
from moorage.core.memory import MemoryEstimate, Use
from moorage.core.ports import LaunchOrder
from moorage.core.text import human
from moorage.engines.footprints import need
from moorage.errors import EngineError

SHORTEST = 512


@dataclass(frozen=True, kw_only=True)
class Fit:
    context: int | None
    """None leaves it to what the model was trained for."""
    sequences: int
    memory: MemoryEstimate
    card_bytes: int
    """Memory of the smallest card."""
    why: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Habits:
    """What an engine does where nobody says otherwise."""

    library: str
    """In engines.footprints."""
    sequences: int
    share: float
    """Of each card's memory."""
    step_tokens: int


def fit(order: LaunchOrder, habits: Habits, kv_dtype: str) -> Fit:
    """Raises EngineError for wishes that do not fit, and without accelerators."""
    spec, facts, options = order.model, order.facts, order.model.options
    if not order.devices:
        raise EngineError(
            f"model {spec.name!r} was given no accelerator, and {habits.library} computes on nothing else: leave "
            "options.devices out, or take another engine"
        )
    context, context_why = _context(spec, facts)
    sequences = options.max_sequences or habits.sequences
    share = options.memory_fraction or habits.share
    smallest = min(device.memory_bytes for device in order.devices)
    use = use_of(
        spec,
        context=context or SHORTEST,
        sequences=sequences,
        step_tokens=options.batch_tokens or habits.step_tokens,
        kv_dtype=kv_dtype,
    )
    room = room_for_cache(spec, need(habits.library, facts, replace(use, pool_bytes=0)), smallest, share)
    memory = need(habits.library, facts, replace(use, pool_bytes=room))
    who = "options.max_sequences" if options.max_sequences else "as the engine does where nobody says"
    said = "options.memory_fraction" if options.memory_fraction else "where nobody says"
    return Fit(
        context=context,
        sequences=sequences,
        memory=memory,
        card_bytes=smallest,
        why=(
            context_why,
            f"{sequences} calls at once: {who}",
            f"{share:.0%} of each card: {said}; about {human(room)} of it for keys and values",
        ),
    )


def use_of(
    spec: ModelSpec,
    *,
    context: int,
    sequences: int,
    step_tokens: int,
    kv_dtype: str,
    cached: bool = True,
    on_device: bool = True,
) -> Use:
    """What the model's options say of its memory, with what was chosen."""
    options = spec.options
    return Use(
        context=context,
        sequences=sequences,
        step_tokens=step_tokens,
        kv_dtype=kv_dtype,
        cached=cached,
        dtype=options.dtype,
        quantization=options.quantization,
        tensor_parallel=options.tensor_parallel,
        pipeline_parallel=options.pipeline_parallel,
        data_parallel=options.data_parallel,
        on_device=on_device,
        graphs=on_device and options.cuda_graphs,
        offload_bytes=options.cpu_offload or 0,
    )


def room_for_cache(spec: ModelSpec, bare: MemoryEstimate, card_bytes: int, share: float) -> int:
    """Bytes that a share of a card leaves beside the rest. Raises EngineError where it leaves none."""
    room = int(card_bytes * share) - bare.total_bytes
    if room <= 0:
        raise EngineError(
            f"model {spec.name!r} would need {human(bare.total_bytes)} of each card before any KV cache, and may use "
            f"{human(card_bytes * share)} ({share:.0%} of {human(card_bytes)}): raise options.tensor_parallel or "
            "options.memory_fraction, or take a more strongly quantised model"
        )
    return room


def check_context(spec: ModelSpec, most: int | None) -> None:
    """Raises EngineError for a context longer than the `most` tokens that the model reads."""
    wanted = spec.options.max_model_len
    if wanted is not None and most is not None and wanted > most:
        raise EngineError(
            f"model {spec.name!r}: options.max_model_len is {wanted}, but the model was trained for {most} tokens; set "
            f"{most} or less, or stretch it with options.rope_scaling"
        )


def trained(spec: ModelSpec, facts: ModelFacts) -> int | None:
    """Tokens the model reads, with options.rope_scaling."""
    length, scaling = facts.context_length, spec.options.rope_scaling
    return int(length * scaling.factor) if length is not None and scaling is not None else length


def _context(spec: ModelSpec, facts: ModelFacts) -> tuple[int | None, str]:
    wanted, most = spec.options.max_model_len, trained(spec, facts)
    if wanted is None:
        return most, f"{most or 'as many'} tokens a call: what the model was trained for"
    check_context(spec, most)
    return wanted, f"{wanted} tokens a call: options.max_model_len"
