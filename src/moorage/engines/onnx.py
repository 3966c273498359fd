"""The adapter of ONNX Runtime for encoders of texts, which runs embedded: our own host, one process a replica."""

from collections.abc import Mapping

from moorage.config.model import ModelSpec
from moorage.core.facts import ModelFacts
from moorage.core.ports import Diagnosis, Launch, LaunchOrder, Probe, Support
from moorage.engines import embedded
from moorage.engines.onnx_fitting import fit, least_bytes
from moorage.engines.onnx_signatures import OTHERWISE, SIGNATURES
from moorage.engines.options import unused
from moorage.engines.shared_signatures import SIGNATURES as SHARED
from moorage.engines.signatures import diagnose
from moorage.errors import EngineError
from moorage.wire.control import Load, Machine
from moorage.wire.names import Task
from moorage.wire.runtime import EncoderSettings

HONOURED = frozenset({"max_model_len", "max_sequences", "threads", "batch_tokens", "quantization"})
TASKS: tuple[Task, ...] = ("embed", "rerank", "classify")
ARCHITECTURES = frozenset(
    ("bert", "roberta", "xlm-roberta", "camembert", "distilbert", "mpnet", "electra", "modernbert", "nomic_bert")
)
"""Families whose graph the runtime writes itself from safetensors (moorage.runtimes.onnx.graph)."""
EXTRA_ARGS = ("matryoshka", "niceness", "pooling")
"""Fields of EncoderSettings that options.extra_args may set."""


class Onnx:
    name = "onnx"
    proven = "onnxruntime 1.31"
    metrics_path = "/metrics"
    cancels_unary = True
    echoes_model = True

    def supports(self, facts: ModelFacts, machine: Machine) -> Support:
        if facts.format not in ("onnx", "safetensors"):
            return Support(ok=False, why=f"it runs ONNX and safetensors, this one is {facts.format}")
        if facts.task not in TASKS:
            return Support(ok=False, why=f"it runs encoders of texts, this model is to {facts.task}")
        if facts.format == "safetensors" and facts.architecture not in ARCHITECTURES:
            known = ", ".join(sorted(ARCHITECTURES))
            why = f"of safetensors it runs {known}, this one is {facts.architecture}; use its ONNX export"
            return Support(ok=False, why=why)
        if refusal := embedded.no_room(least_bytes(facts), machine):
            return refusal
        words = f"{facts.quantization} " if facts.quantization else ""
        return Support(ok=True, why=f"runs {words}{facts.format} encoders on the CPU", rank=embedded.RANK)

    def launch(self, order: LaunchOrder) -> Launch:
        spec, facts = order.model, order.facts
        task = _task(spec, facts)
        chosen = fit(spec, facts, order.machine)
        settings = EncoderSettings(
            socket=order.socket,
            token=order.token,
            model_path=facts.path,
            served_name=spec.name,
            task=task,
            threads=chosen.threads,
            context=chosen.context,
            batch_tokens=chosen.batch_tokens,
            max_calls=chosen.max_calls,
            quantize=chosen.quantized,
        )
        settings = embedded.with_extra_args(settings, spec, EXTRA_ARGS, self.name)
        silent = task == "embed" and facts.pooling is None and settings.pooling == "file"
        return embedded.launch(
            "onnx",
            settings,
            capacity=chosen.max_calls,
            max_model_len=chosen.context,
            why=(
                *chosen.why,
                embedded.niceness_why(settings.niceness),
                *(("mean pooling: the files say none",) if silent else ()),
                *unused(spec, self.name, HONOURED),
            ),
            env=embedded.ENVIRONMENT_OF_ARRAYS,
        )

    def probe(self, launch: Launch) -> Probe:
        return embedded.probe(launch)

    def observe(self, metrics: Mapping[str, float]) -> Load:
        return embedded.load(metrics, embedded.STEPS, embedded.CALLS_FINISHED)

    def diagnose(self, log: str) -> Diagnosis | None:
        return diagnose(log, (*SIGNATURES, *SHARED, *OTHERWISE))


def _task(spec: ModelSpec, facts: ModelFacts) -> Task:
    task: Task = facts.task if spec.task == "auto" else spec.task
    if task not in TASKS:
        raise EngineError(f"model {spec.name!r} is an encoder of texts: set its task to one of {', '.join(TASKS)}")
    if task != facts.task and task == "rerank":
        raise EngineError(
            f"model {spec.name!r} gives no score of a pair of texts: set its task to {facts.task}"
            + (", which reranks by the cosine of two embeddings" if facts.task == "embed" else "")
        )
    if task != facts.task and task == "classify" and facts.task == "embed":
        raise EngineError(f"model {spec.name!r} has no labels: set its task to embed")
    return task
