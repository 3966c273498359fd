"""How speech is fitted to a model and a machine: recordings at once, threads, memory, and why."""

from dataclasses import dataclass, replace

from moorage.config.model import ModelSpec
from moorage.core.facts import ModelFacts
from moorage.core.memory import MEMORY_SHARE, MemoryEstimate, Use
from moorage.core.text import human
from moorage.engines.footprints import need
from moorage.engines.options import unused
from moorage.errors import EngineError
from moorage.wire.control import Machine

HONOURED = frozenset({"max_sequences", "threads", "quantization"})
CALLS = 2
AUDIO_POSITIONS = 1500
"""Of a window after the encoder: half a minute, fifty a second."""
BEAMS = 5
FLOAT_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class Fit:
    max_calls: int
    threads: int
    memory: MemoryEstimate
    why: tuple[str, ...]


def fit(spec: ModelSpec, facts: ModelFacts, machine: Machine) -> Fit:
    """Raises EngineError for wishes that do not fit."""
    options = spec.options
    calls = options.max_sequences or CALLS
    threads = options.threads or max(1, machine.cores // 2)
    wanted = memory(facts, calls)
    if wanted.total_bytes > machine.memory_bytes * MEMORY_SHARE:
        raise EngineError(
            f"model {spec.name!r} would need {human(wanted.total_bytes)} of memory for {calls} recordings at once, "
            f"this machine has {human(machine.memory_bytes)}: lower options.max_sequences, or take a smaller model"
        )
    reason = "options.max_sequences" if options.max_sequences else "a short one need not wait for a long one"
    half = "options.threads" if options.threads else "half the cores, so that two calls use them all"
    return Fit(
        max_calls=calls,
        threads=threads,
        memory=wanted,
        why=(
            f"{calls} recordings at once: {reason}",
            f"{threads} thread{'s' if threads > 1 else ''} a recording: {half}",
            f"about {human(wanted.total_bytes)} of memory: {human(wanted.weights_bytes)} weights",
            *unused(spec, "speech", HONOURED),
            *(("8-bit integers: what it takes anyway",) if options.quantization == "int8" else ()),
        ),
    )


def memory(facts: ModelFacts, calls: int) -> MemoryEstimate:
    """Each recording keeps keys and values of its window for every layer and beam. The file and what becomes of it are
    both there while it loads.
    """
    found = need("faster-whisper", facts, Use(context=0, sequences=calls, step_tokens=0, cached=False))
    window = AUDIO_POSITIONS * (facts.embedding_length or 0) * FLOAT_BYTES * (2 * (facts.layers or 0) + BEAMS)
    weights = max(found.weights_bytes, facts.parameters or 0)
    while_loading = facts.size_bytes - weights - calls * window - found.compute_bytes
    return replace(
        found, weights_bytes=weights, kv_bytes=calls * window, compute_bytes=found.compute_bytes + max(0, while_loading)
    )
