"""How an encoder is fitted to a file and a machine: context, step, calls, threads, memory, and why."""

from dataclasses import dataclass, replace

from moorage.config.model import ModelSpec
from moorage.core.facts import ModelFacts
from moorage.core.memory import MEMORY_SHARE, Footprint, MemoryEstimate, Use, compute_bytes, estimate
from moorage.core.text import human
from moorage.errors import EngineError
from moorage.wire.control import Machine

STEP_SHARE = 0.25
"""Of the machine's memory for one step, where nobody asked for a context: other models live here too."""
CONTEXT = 512
"""Where neither files nor options say."""
SHORTEST = 128
STEP_TOKENS = 2048
"""More gains nothing on a CPU; the runtime itself takes less where a step would last too long."""
CALLS = 64
"""Small texts of many calls are computed together."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    context: int
    batch_tokens: int
    max_calls: int
    threads: int
    quantized: bool
    memory: MemoryEstimate
    why: tuple[str, ...]


def fit(spec: ModelSpec, facts: ModelFacts, machine: Machine, footprint: Footprint) -> Fit:
    """Raises EngineError for wishes that do not fit."""
    options = spec.options
    quantized, quantized_why = _quantized(spec, facts)
    context, context_why = _context(spec, facts, machine, footprint)
    batch_tokens = options.batch_tokens or max(STEP_TOKENS, context)
    threads = options.threads or machine.cores
    calls = options.max_sequences or CALLS
    use = Use(context=context, sequences=calls, step_tokens=batch_tokens, cached=False)
    wanted = estimate(facts, footprint, replace(use, quantization="int8") if quantized else use)
    if wanted.total_bytes > machine.memory_bytes * MEMORY_SHARE:
        raise EngineError(
            f"model {spec.name!r} would need {human(wanted.total_bytes)} of memory ({human(wanted.weights_bytes)} "
            f"weights, {human(wanted.compute_bytes)} for a step), this machine has {human(machine.memory_bytes)}: "
            "lower options.max_model_len or options.batch_tokens"
        )
    return Fit(
        context=context,
        batch_tokens=batch_tokens,
        max_calls=calls,
        threads=threads,
        quantized=quantized,
        memory=wanted,
        why=(
            context_why,
            f"{batch_tokens} tokens a step at most: {_step_why(options.batch_tokens)}",
            f"{calls} calls at once: {'options.max_sequences' if options.max_sequences else 'their texts share steps'}",
            f"{threads} threads: {'options.threads' if options.threads else 'one for each core'}",
            f"about {human(wanted.total_bytes)} of memory: {human(wanted.weights_bytes)} weights, "
            f"{human(wanted.compute_bytes)} for a step",
            *quantized_why,
        ),
    )


def _quantized(spec: ModelSpec, facts: ModelFacts) -> tuple[bool, tuple[str, ...]]:
    wanted = spec.options.quantization
    if wanted == "none":
        return False, ()
    if facts.format != "safetensors":
        raise EngineError(
            f"model {spec.name!r}: options.quantization is for safetensors; of {facts.format} take the file that is "
            "quantised already"
        )
    if wanted in ("awq", "gptq"):
        raise EngineError(
            f"model {spec.name!r}: options.quantization is {wanted}, which is a way files are made; the onnx engine "
            "reads none of them: take int8, or vllm"
        )
    nearest = "" if wanted == "int8" else f"the nearest to {wanted} that it has, "
    return True, (f"8-bit integers: {nearest}options.quantization",)


def step_bytes(facts: ModelFacts, footprint: Footprint, tokens: int) -> int:
    """Of the activations of one text of so many tokens."""
    return compute_bytes(facts, footprint, Use(context=tokens, sequences=1, step_tokens=tokens, cached=False))


def least_bytes(facts: ModelFacts, footprint: Footprint) -> int:
    """Memory without which nothing can be served."""
    least = Use(context=SHORTEST, sequences=1, step_tokens=SHORTEST, cached=False)
    return estimate(facts, footprint, least).total_bytes


def _context(spec: ModelSpec, facts: ModelFacts, machine: Machine, footprint: Footprint) -> tuple[int, str]:
    wanted, trained = spec.options.max_model_len, facts.context_length
    if wanted is not None:
        if trained and wanted > trained:
            raise EngineError(
                f"model {spec.name!r}: options.max_model_len is {wanted}, but the model reads {trained} tokens; set "
                f"{trained} or less"
            )
        return wanted, f"{wanted} tokens a text: options.max_model_len"
    context = trained or CONTEXT
    while context > SHORTEST and step_bytes(facts, footprint, context) > machine.memory_bytes * STEP_SHARE:
        context //= 2
    if trained and context < trained:
        return context, f"{context} tokens a text: what a quarter of the memory holds; the model reads {trained}"
    reason = "what the model was made for" if trained else "the files say nothing; set options.max_model_len"
    return context, f"{context} tokens a text: {reason}"


def _step_why(wanted: int | None) -> str:
    return "options.batch_tokens" if wanted else "fewer where they would take longer than 0.2 s"
