"""The adapter of llama.cpp, which runs embedded: our own host around the library, one process a replica."""

from collections.abc import Mapping
from typing import Literal

from moorage.core.facts import ModelFacts
from moorage.core.ports import Diagnosis, Launch, LaunchOrder, Probe, Support
from moorage.engines import embedded
from moorage.engines.footprints import least_bytes
from moorage.engines.llamacpp_fitting import Fit, fit
from moorage.engines.llamacpp_signatures import SIGNATURES
from moorage.engines.options import unused
from moorage.engines.signatures import diagnose
from moorage.engines.tasks import task_of
from moorage.errors import EngineError
from moorage.wire.control import Load, Machine
from moorage.wire.names import Task
from moorage.wire.runtime import LlamaCppSettings

HONOURED = frozenset({"max_model_len", "max_sequences", "threads", "batch_tokens", "kv_cache_dtype", "quantization"})
TASKS: tuple[Task, ...] = ("generate", "embed", "rerank")


class LlamaCpp:
    name = "llama.cpp"
    proven = "xllamacpp 2026.10.11549"
    metrics_path = "/metrics"
    cancels_unary = True
    echoes_model = True

    def supports(self, facts: ModelFacts, machine: Machine) -> Support:
        if facts.format != "gguf":
            return Support(ok=False, why=f"it runs GGUF files, this one is {facts.format}")
        if facts.task not in TASKS:
            return Support(ok=False, why=f"it has no routes for a model to {facts.task}")
        if refusal := embedded.no_room(least_bytes(self.name, facts), machine):
            return refusal
        return Support(ok=True, why=f"runs {facts.quantization or 'GGUF'} files on the CPU", rank=embedded.RANK)

    def launch(self, order: LaunchOrder) -> Launch:
        spec, facts = order.model, order.facts
        task = task_of(spec, facts, self.name, TASKS)
        chosen = fit(spec, facts, order.machine, task)
        settings = LlamaCppSettings(
            socket=order.socket,
            token=order.token,
            model_path=facts.path,
            served_name=spec.name,
            task=task,
            slots=chosen.slots,
            context=chosen.context,
            threads=chosen.threads,
            stream_threads=chosen.stream_threads,
            batch_tokens=chosen.batch_tokens,
            kv_cache_dtype=chosen.kv_cache_dtype,
            pooling=_pooling(facts, task, spec.name),
            prefix_caching=spec.options.prefix_caching,
            prompt_cache_mib=chosen.prompt_cache_mib,
            extra_args=embedded.single_values(spec),
        )
        return embedded.launch(
            "llamacpp",
            settings,
            capacity=chosen.slots,
            max_model_len=chosen.context,
            memory=chosen.memory,
            why=(*_why(chosen, task, facts), *unused(spec, self.name, HONOURED)),
            # An abort would start a debugger for its trace, if there is one, and hold the process up.
            env={"GGML_NO_BACKTRACE": "1"},
        )

    def probe(self, launch: Launch) -> Probe:
        return embedded.probe(launch)

    def observe(self, metrics: Mapping[str, float]) -> Load:
        # Decode steps move in prompts too; embeddings are seen by the calls they finish.
        return embedded.load(metrics, "llamacpp:n_decode_total", embedded.CALLS_FINISHED)

    def diagnose(self, log: str) -> Diagnosis | None:
        return diagnose(log, SIGNATURES)


def _pooling(facts: ModelFacts, task: Task, name: str) -> Literal["file", "mean", "rank"]:
    if task == "generate":
        return "file"
    if (facts.pooling == "rank") != (task == "rerank"):
        kind = "a reranker: its file gives scores, not embeddings" if task == "embed" else "no reranker"
        raise EngineError(f"model {name!r} is {kind}; leave its task out, or set it to {facts.task}")
    if task == "rerank":
        return "rank"
    return "mean" if facts.pooling is None else "file"


def _why(chosen: Fit, task: Task, facts: ModelFacts) -> tuple[str, ...]:
    pooling = ["mean pooling: the file says none"] if task == "embed" and facts.pooling is None else []
    return (*chosen.why, *pooling)
