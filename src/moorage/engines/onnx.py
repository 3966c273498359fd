"""The adapter of ONNX Runtime for encoders of texts, which runs embedded: our own host, one process a replica."""

from collections.abc import Mapping

from moorage.core.facts import ModelFacts
from moorage.core.ports import Diagnosis, Launch, LaunchOrder, Probe, Support
from moorage.engines import embedded, encoding
from moorage.engines.encoding_fitting import least_bytes
from moorage.engines.footprints import ONNX
from moorage.engines.onnx_signatures import OTHERWISE, SIGNATURES
from moorage.engines.shared_signatures import SIGNATURES as SHARED
from moorage.engines.signatures import diagnose
from moorage.wire.control import Load, Machine

ARCHITECTURES = frozenset(
    ("bert", "roberta", "xlm-roberta", "camembert", "distilbert", "mpnet", "electra", "modernbert", "nomic_bert")
)
"""Families whose graph the runtime writes itself from safetensors (moorage.runtimes.onnx.graph)."""


class Onnx:
    name = "onnx"
    proven = "onnxruntime 1.31"
    metrics_path = "/metrics"
    cancels_unary = True
    echoes_model = True

    def supports(self, facts: ModelFacts, machine: Machine) -> Support:
        if facts.format not in ("onnx", "safetensors"):
            return Support(ok=False, why=f"it runs ONNX and safetensors, this one is {facts.format}")
        if facts.task not in encoding.TASKS:
            return Support(ok=False, why=f"it runs encoders of texts, this model is to {facts.task}")
        if facts.format == "safetensors" and facts.architecture not in ARCHITECTURES:
            known = ", ".join(sorted(ARCHITECTURES))
            why = f"of safetensors it runs {known}, this one is {facts.architecture}; use its ONNX export"
            return Support(ok=False, why=why)
        if refusal := embedded.no_room(least_bytes(facts, ONNX), machine):
            return refusal
        words = f"{facts.quantization} " if facts.quantization else ""
        return Support(ok=True, why=f"runs {words}{facts.format} encoders on the CPU", rank=embedded.RANK)

    def launch(self, order: LaunchOrder) -> Launch:
        return encoding.launch(order, ONNX, engine=self.name, host="onnx")

    def probe(self, launch: Launch) -> Probe:
        return embedded.probe(launch)

    def observe(self, metrics: Mapping[str, float]) -> Load:
        return embedded.load(metrics, embedded.STEPS, embedded.CALLS_FINISHED)

    def diagnose(self, log: str) -> Diagnosis | None:
        return diagnose(log, (*SIGNATURES, *SHARED, *OTHERWISE))
