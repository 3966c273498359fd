"""The adapter of OpenVINO, which runs embedded: one host of ours for models that write, another for encoders."""

import importlib.util
from collections.abc import Mapping

from msgspec.structs import replace

from moorage.core.facts import ModelFacts
from moorage.core.ports import Diagnosis, Launch, LaunchOrder, Probe, Support
from moorage.engines import embedded, encoding, openvino_encoding, openvino_encoding_signatures, openvino_signatures
from moorage.engines.footprints import least_bytes
from moorage.engines.openvino_fitting import fit
from moorage.engines.options import unused
from moorage.engines.signatures import diagnose
from moorage.engines.tasks import task_of
from moorage.wire.control import Load, Machine
from moorage.wire.runtime import OpenVinoSettings

HONOURED = frozenset(
    {"max_model_len", "max_sequences", "threads", "batch_tokens", "kv_cache_dtype", "dtype", "quantization"}
)
RANK = embedded.RANK + 1
"""Above llama.cpp: on two cores it served 16 streams three times as fast, and one as fast."""
ARCHITECTURES = ("llama", "qwen2", "qwen3")
"""Of GGUF files, those whose graph the library builds."""
NUMBER_FORMATS = frozenset({"F32", "F16", "Q4_0", "Q4_1", "Q8_0", "Q4_K", "Q6_K"})
"""Tensor types it reads; F32 only beside others."""
TOKENIZERS = frozenset({"gpt2 llama-bpe", "gpt2 qwen2", "gpt2 smollm"})
"""Those whose rules it knows. Others it takes for something else, and then cuts texts wrongly."""


class OpenVino:
    name = "openvino"
    proven = "openvino-genai 2026.4.1.0"
    metrics_path = "/metrics"
    cancels_unary = True
    echoes_model = True

    def supports(self, facts: ModelFacts, machine: Machine) -> Support:
        if facts.task in encoding.TASKS:
            return openvino_encoding.supports_encoder(facts, machine)
        if facts.task != "generate":
            return Support(ok=False, why=f"it has no routes for a model to {facts.task}")
        if facts.format not in ("gguf", "openvino"):
            return Support(ok=False, why=f"it runs OpenVINO IR and some GGUF files, this one is {facts.format}")
        if importlib.util.find_spec("openvino_genai") is None:
            return embedded.absent(self.name)
        if facts.format == "gguf" and (why := _unreadable(facts)):
            return Support(ok=False, why=why)
        if refusal := embedded.no_room(least_bytes(self.name, facts), machine):
            return refusal
        words = facts.quantization or ("GGUF" if facts.format == "gguf" else "OpenVINO IR")
        return Support(ok=True, why=f"runs {words} on the CPU, many calls in one batch", rank=RANK)

    def launch(self, order: LaunchOrder) -> Launch:
        spec, facts = order.model, order.facts
        if facts.task in encoding.TASKS:
            return openvino_encoding.launch_encoder(order)
        task = task_of(spec, facts, self.name, ("generate",))
        chosen = fit(spec, facts, order.machine)
        settings = OpenVinoSettings(
            socket=order.socket,
            token=order.token,
            model_path=facts.path,
            served_name=spec.name,
            task=task,
            threads=chosen.threads,
            sequences=chosen.sequences,
            context=chosen.context,
            cache_tokens=chosen.cache_tokens,
            batch_tokens=chosen.batch_tokens,
            kv_cache_dtype=chosen.kv_cache_dtype,
            precision=chosen.precision,
            prefix_caching=spec.options.prefix_caching,
            parameters=facts.parameters or 0,
            extra_args=embedded.single_values(spec),
        )
        return embedded.launch(
            "openvino",
            settings,
            capacity=chosen.sequences,
            max_model_len=chosen.context,
            why=(*chosen.why, *unused(spec, self.name, HONOURED)),
            env=embedded.ENVIRONMENT_OF_ARRAYS,
            memory=chosen.memory,
        )

    def probe(self, launch: Launch) -> Probe:
        return embedded.probe(launch)

    def observe(self, metrics: Mapping[str, float]) -> Load:
        # Steps move in prompts too; encoders are seen by the calls they finish.
        return replace(embedded.load(metrics, *openvino_encoding.PROGRESS), kv_used=metrics.get(KV_USED))

    def diagnose(self, log: str) -> Diagnosis | None:
        return diagnose(log, (*openvino_encoding_signatures.SIGNATURES, *openvino_signatures.SIGNATURES))


KV_USED = "moorage_runtime_kv_used"


def _unreadable(facts: ModelFacts) -> str:
    """Why the library cannot read a GGUF file, or would read it as something it is not; empty where it can."""
    if facts.architecture not in ARCHITECTURES:
        return f"of GGUF it reads the architectures {', '.join(ARCHITECTURES)}, this one is {facts.architecture}"
    if len(facts.weights) > 1:
        return f"it reads GGUF of one file, this one has {len(facts.weights)}"
    if facts.experts:
        return f"it reads no GGUF with experts, this one has {facts.experts}"
    if facts.rope_scaled:
        return "it does not stretch positions as this GGUF file wants them"
    unknown = [name for name in facts.number_formats if name not in NUMBER_FORMATS]
    if unknown or set(facts.number_formats) == {"F32"}:
        known = ", ".join(sorted(NUMBER_FORMATS))
        return f"of GGUF it reads {known}; this one has {', '.join(unknown or facts.number_formats)}"
    if facts.tokenizer not in TOKENIZERS:
        return f"it does not know the tokenizer of this GGUF file, {facts.tokenizer or 'none'}"
    return ""
