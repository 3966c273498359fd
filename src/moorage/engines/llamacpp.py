"""The adapter of llama.cpp, which runs embedded: our own host around the library, one process a replica."""

from collections.abc import Mapping
from typing import Literal

from moorage.core.facts import ModelFacts
from moorage.core.memory import estimate
from moorage.core.ports import Diagnosis, Launch, LaunchOrder, Probe, Support
from moorage.engines import embedded
from moorage.engines.llamacpp_fitting import Fit, fit
from moorage.engines.options import unused
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
        if refusal := embedded.no_room(estimate(facts, context_tokens=512, step_tokens=32).total_bytes, machine):
            return refusal
        return Support(ok=True, why=f"runs {facts.quantization or 'GGUF'} files on the CPU", rank=embedded.RANK)

    def launch(self, order: LaunchOrder) -> Launch:
        spec, facts = order.model, order.facts
        task: Task = facts.task if spec.task == "auto" else spec.task
        if task not in TASKS:
            raise EngineError(f"llama.cpp has no routes for a model to {task}; model {spec.name!r} can {facts.task}")
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
        return embedded.diagnosis(log, DIAGNOSES)


DIAGNOSES: embedded.Diagnoses = (
    (
        r"unknown model architecture: '([^']*)'",
        "this llama.cpp does not know the architecture {0!r}",
        "Use a model of an architecture it knows, or a newer Moorage",
    ),
    (
        r"not within the file bounds|failed to read (?:key-value pairs|tensor|magic)|tensor data section|"
        r"unexpectedly reached end of file",
        "the model file is truncated or damaged",
        embedded.AGAIN,
    ),
    (r"invalid magic characters", "the model file is not a GGUF file", "Name the .gguf file as the model's source"),
    (
        r"failed to open GGUF file '([^']*)' \(([^)]*)\)",
        "the model file {0} cannot be opened: {1}",
        "Check that it is there and may be read by this user",
    ),
    (
        r"tensor '([^']*)' has invalid|check_tensors|wrong number of tensors|missing tensor '([^']*)'",
        "the model file does not hold the tensors its architecture needs",
        "Fetch it again, or convert it with a newer converter",
    ),
    (
        r"insufficient memory|failed to allocate|std::bad_alloc|MemoryError|[Cc]annot allocate memory",
        "there was not enough memory for the model and its KV cache",
        "Lower options.max_model_len or options.max_sequences, set options.kv_cache_dtype to q8_0, or take a smaller "
        "model",
    ),
    (
        r"another process listens on (\S+): |couldn't bind HTTP server socket, hostname: ([^,]+)",
        "the engine's socket is taken by another process",
        "Stop the other process",
    ),
    (
        r"V cache quantization requires|unsupported (?:KV|K/V|cache) type|GGML_ASSERT\([^)]*type_[kv]",
        "this model cannot use that number format for its KV cache",
        "Set options.kv_cache_dtype to f16",
    ),
    (r"(options\.extra_args\.[^\n]*)", "{0}", "Correct options.extra_args of this model"),
    (
        r"has no field ('[^']*'): install",
        "the installed xllamacpp has no parameter {0}",
        "Install the release of xllamacpp that this Moorage is pinned to",
    ),
    (
        r"No module named 'xllamacpp'|libstdc\+\+|GLIBC_[0-9.]+' not found",
        "the llama.cpp library cannot be loaded",
        "Install Moorage again with its dependencies on a system that their wheels are made for",
    ),
    (
        r"GGML_ASSERT\(([^\n]*)\) failed",
        "llama.cpp stopped at a check of its own: {0}",
        "Take out what options.extra_args sets, or try another file of the model",
    ),
)


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
