"""How speech is fitted to a model and a machine: recordings at once, threads, memory, and why."""

from dataclasses import dataclass

from moorage.config.model import ModelSpec
from moorage.core.facts import ModelFacts
from moorage.core.memory import FLOAT_BYTES, MEMORY_SHARE
from moorage.core.text import human
from moorage.engines.options import unused
from moorage.errors import EngineError
from moorage.wire.control import Machine

HONOURED = frozenset({"max_sequences", "threads", "quantization"})
CALLS = 2
PROCESS_BYTES = 256 * 1024 * 1024
"""Interpreter, CTranslate2, FFmpeg's libraries, the detector of speech."""
CALL_BYTES = 64 * 1024 * 1024
"""A minute of sound in several shapes, and what decoding keeps of a window, for small models; it grows with width."""
AUDIO_POSITIONS = 1500
"""Of a window after the encoder: half a minute, fifty a second."""
BEAMS = 5


@dataclass(frozen=True, kw_only=True)
class Fit:
    max_calls: int
    threads: int
    why: tuple[str, ...]


def fit(spec: ModelSpec, facts: ModelFacts, machine: Machine) -> Fit:
    """Raises EngineError for wishes that do not fit."""
    options = spec.options
    calls = options.max_sequences or CALLS
    threads = options.threads or max(1, machine.cores // 2)
    need = memory_bytes(facts, calls)
    if need > machine.memory_bytes * MEMORY_SHARE:
        raise EngineError(
            f"model {spec.name!r} would need {human(need)} of memory for {calls} recordings at once, this machine has "
            f"{human(machine.memory_bytes)}: lower options.max_sequences, or take a smaller model"
        )
    reason = "options.max_sequences" if options.max_sequences else "a short one need not wait for a long one"
    half = "options.threads" if options.threads else "half the cores, so that two calls use them all"
    return Fit(
        max_calls=calls,
        threads=threads,
        why=(
            f"{calls} recordings at once: {reason}",
            f"{threads} threads a recording: {half}",
            f"about {human(need)} of memory: {human(weights_bytes(facts))} weights",
            *unused(spec, "speech", HONOURED),
            *(("8-bit integers: what it takes anyway",) if options.quantization == "int8" else ()),
        ),
    )


def weights_bytes(facts: ModelFacts) -> int:
    """As they are computed with on a CPU: one byte a parameter, and what is not quantised."""
    return max(facts.parameters or 0, facts.size_bytes // 2) if facts.quantization != "float32" else facts.size_bytes


def memory_bytes(facts: ModelFacts, calls: int) -> int:
    """While it loads, the file and what becomes of it are both there."""
    layers, width = facts.layers or 0, facts.embedding_length or 0
    window = AUDIO_POSITIONS * width * FLOAT_BYTES * (2 * layers + BEAMS)
    return PROCESS_BYTES + max(weights_bytes(facts) + calls * (CALL_BYTES + window), facts.size_bytes)
