"""The adapter of llama-server, llama.cpp's own program: any build of it, for the processor or for accelerators."""

from collections.abc import Mapping
from dataclasses import replace

from moorage.config.model import ModelSpec
from moorage.core.facts import ModelFacts
from moorage.core.ports import Diagnosis, Launch, LaunchOrder, Probe, Support
from moorage.engines import embedded, program
from moorage.engines.arguments import Arguments
from moorage.engines.choose import installed
from moorage.engines.footprints import least_bytes
from moorage.engines.llama_server_signatures import SIGNATURES
from moorage.engines.llamacpp_fitting import Fit, fit, memory_on
from moorage.engines.options import unused
from moorage.engines.signatures import diagnose
from moorage.engines.tasks import task_of
from moorage.errors import EngineError
from moorage.wire.control import Load, Machine, Manners
from moorage.wire.names import Task

RANK = 5
"""On the processor below the embedded llama.cpp, which also forces tool calls and stops calls that do not stream."""
RANK_CUDA = 12
"""With accelerators above it, which computes on the processor."""
TASKS: tuple[Task, ...] = ("generate", "embed", "rerank")
HONOURED = frozenset(
    (
        *("max_model_len", "max_sequences", "threads", "batch_tokens", "kv_cache_dtype", "quantization"),
        *("rope_scaling", "attention_backend", "tensor_parallel", "pipeline_parallel", "memory_fraction"),
    )
)
LIBRARY = "llama.cpp"
"""What it is made of, and so as large as."""
HTTP_THREADS = 16
"""Beside one for each call: a stream holds its thread, and /health and /metrics want to be answered meanwhile."""
ALL_LAYERS = 999
GONE: Mapping[str, str] = {
    "--gpu-memory-utilization": "it counts layers, not shares: n-gpu-layers in options.extra_args",
    "--max-model-len": "it is vLLM's word: set options.max_model_len",
    "--mmap": "it is load-mode now: mmap, none, mlock or dio",
    "--no-mmap": "it is load-mode now: none",
    "--mlock": "it is load-mode now: mlock",
    "--grp-attn-n": "set options.rope_scaling",
    "--grp-attn-w": "set options.rope_scaling",
    "--draft-max": "it is spec-draft-n-max now",
    "--draft-min": "it is spec-draft-n-min now",
    "--log-disable": "its log is where moorage logs looks",
}
OURS: Mapping[str, str] = {
    "--host": "engines listen where moorage tells them, and nowhere else",
    "--port": "engines listen where moorage tells them, and nowhere else",
    "--api-key": "moorage gives each start a key of its own; clients' keys are auth.keys",
    "--model": "say it in the model's source",
    "--alias": "say it in the model's name",
}
"""Flags that would undo what the adapter sees to."""
NOT_SERVED = ("/v2/embed", "/score", "/v1/score", "/classify", "/pooling")
TOOLS = "tools"
"""A chat template that knows tools names them."""


class LlamaServer:
    name = "llama-server"
    proven = "0.7.0 (build 11669)"
    metrics_path = "/metrics"
    cancels_unary = False
    echoes_model = False

    def supports(self, facts: ModelFacts, machine: Machine) -> Support:
        if facts.format != "gguf":
            return Support(ok=False, why=f"it runs GGUF files, this one is {facts.format}")
        if facts.task not in TASKS:
            return Support(ok=False, why=f"it has no routes for a model to {facts.task}")
        found = installed(machine, self.name)
        if found is None:
            return program.absent(self.name, "put a llama-server of llama.cpp (Debian: llama.cpp-tools) on PATH")
        cards = program.cards(machine)
        least = least_bytes(LIBRARY, facts)
        if refusal := embedded.no_room(least, program.on_devices(machine, cards, None)):
            return refusal
        what = f"runs {facts.quantization or 'GGUF'} files"
        if cards:
            why = f"{what} on the accelerator, if this build of it ({found.version}) was made for one"
            return Support(ok=True, why=why, rank=RANK_CUDA, accelerator=program.CUDA)
        return Support(ok=True, why=f"{what} on the CPU", rank=RANK)

    def launch(self, order: LaunchOrder) -> Launch:
        spec, facts = order.model, order.facts
        task = task_of(spec, facts, self.name, TASKS)
        found = program.installation(order, self.name)
        share = spec.options.memory_fraction
        program.refuse(spec, OURS, {})
        chosen = fit(
            _without_stretch(spec),
            _stretched(facts, spec),
            program.on_devices(order.machine, order.devices, share),
            task,
        )
        arguments = Arguments(spec, found, GONE)
        _add_place(arguments, order)
        _add_sizes(arguments, chosen, task)
        _add_task(arguments, facts, task, spec)
        _add_devices(arguments, order)
        _add_rope(arguments, spec, facts)
        arguments.add("--flash-attn", spec.options.attention_backend, of="attention_backend")
        arguments.extra()
        tools = facts.chat_template is not None and TOOLS in facts.chat_template
        return Launch(
            argv=(*found.command, *arguments.words()),
            address=f"unix:{order.socket}",
            token=order.token,
            served_name=spec.name,
            capacity=chosen.slots,
            max_model_len=chosen.context,
            task=task,
            # An abort would start a debugger for its trace, if there is one, and hold the process up.
            env={**found.env, "LLAMA_API_KEY": order.token, "GGML_NO_BACKTRACE": "1"},
            manners=Manners(
                # What it writes in the middle of a prompt is how it finds out that nobody listens.
                adds={"return_progress": True},
                paths=dict.fromkeys(NOT_SERVED, ""),
                tokens="llama.cpp",
                forces_tools=tools or task != "generate",
            ),
            memory=memory_on(len(order.devices), chosen, facts),
            why=(
                *chosen.why,
                *(() if tools or task != "generate" else ("its chat template knows no tools: calls cannot be forced",)),
                *unused(spec, self.name, HONOURED),
            ),
        )

    def probe(self, launch: Launch) -> Probe:
        return embedded.probe(launch)

    def observe(self, metrics: Mapping[str, float]) -> Load:
        return Load(
            running=metrics.get("llamacpp:requests_processing"),
            queued=metrics.get("llamacpp:requests_deferred"),
            kv_used=metrics.get("llamacpp:kv_cache_usage_ratio"),  # gone since 2025
            # Steps move in prompts too; before they were told, tokens moved at the end of a call.
            progress=program.first(metrics, "llamacpp:n_decode_total", "llamacpp:tokens_predicted_total"),
        )

    def diagnose(self, log: str) -> Diagnosis | None:
        return diagnose(log, SIGNATURES)


def _add_place(arguments: Arguments, order: LaunchOrder) -> None:
    arguments.add("--model", order.facts.path, of="source")
    arguments.add("--alias", order.model.name, of="name")
    # A host that ends in .sock is a Unix socket.
    arguments.add("--host", order.socket, of="socket")
    arguments.add("--metrics", of="metrics")
    for words in (("--no-ui", "--no-webui"), ("--offline",), ("--no-slots",)):
        if (flag := arguments.has(*words)) is not None:
            arguments.add(flag, of="ui")
    for flag, value in (("--cors-origins", "localhost"), ("--log-colors", "off"), ("--fit", "off")):
        # `fit` would shorten the context behind our back to what is free; what fits was reckoned here.
        if arguments.has(flag) is not None:
            arguments.add(flag, value, of="start")


def _add_sizes(arguments: Arguments, chosen: Fit, task: Task) -> None:
    arguments.add("--ctx-size", chosen.slots * chosen.context, of="max_model_len")
    arguments.add("--parallel", chosen.slots, of="max_sequences")
    if arguments.has("--no-kv-unified") is not None:
        arguments.add("--no-kv-unified", of="max_sequences")
    arguments.add("--batch-size", chosen.batch_tokens, of="batch_tokens")
    arguments.add("--ubatch-size", chosen.batch_tokens, of="batch_tokens")
    arguments.add("--threads", chosen.stream_threads, of="threads")
    arguments.add("--threads-batch", chosen.threads, of="threads")
    arguments.add("--threads-http", chosen.slots + HTTP_THREADS, of="max_sequences")
    if task == "generate":
        arguments.add("--cache-type-k", chosen.kv_cache_dtype, of="kv_cache_dtype")
        arguments.add("--cache-type-v", chosen.kv_cache_dtype, of="kv_cache_dtype")
    if arguments.has("--cache-ram") is not None:
        arguments.add("--cache-ram", chosen.prompt_cache_mib, of="prefix_caching")


def _add_task(arguments: Arguments, facts: ModelFacts, task: Task, spec: ModelSpec) -> None:
    if task == "embed":
        arguments.add("--embeddings", of="task")
        if facts.pooling is None:
            arguments.add("--pooling", "mean", of="task")
    elif task == "rerank":
        arguments.add(arguments.has("--reranking", "--rerank") or "--reranking", of="task")
    else:
        arguments.add("--jinja", of="task")
        if not spec.options.prefix_caching and arguments.has("--no-cache-prompt") is not None:
            arguments.add("--no-cache-prompt", of="prefix_caching")


def _add_devices(arguments: Arguments, order: LaunchOrder) -> None:
    options = order.model.options
    arguments.add("--n-gpu-layers", ALL_LAYERS if order.devices else 0, of="devices")
    if len(order.devices) > 1:
        arguments.add("--split-mode", "row" if options.tensor_parallel > 1 else "layer", of="tensor_parallel")


def _add_rope(arguments: Arguments, spec: ModelSpec, facts: ModelFacts) -> None:
    scaling = spec.options.rope_scaling
    if scaling is None:
        return
    if scaling.type == "dynamic":
        raise EngineError(
            f"model {spec.name!r}: options.rope_scaling.type is 'dynamic', and llama-server has linear and yarn; "
            "yarn keeps short prompts as exact as dynamic does"
        )
    arguments.add("--rope-scaling", scaling.type, of="rope_scaling")
    arguments.add("--rope-scale", scaling.factor, of="rope_scaling")
    if scaling.type == "yarn":
        arguments.add("--yarn-orig-ctx", facts.context_length, of="rope_scaling")


def _stretched(facts: ModelFacts, spec: ModelSpec) -> ModelFacts:
    """What the file says of its context, after options.rope_scaling."""
    scaling = spec.options.rope_scaling
    if scaling is None or facts.context_length is None:
        return facts
    return replace(facts, context_length=int(facts.context_length * scaling.factor))


def _without_stretch(spec: ModelSpec) -> ModelSpec:
    """For the fitting of the embedded engine, which has no such option."""
    return spec.model_copy(update={"options": spec.options.model_copy(update={"rope_scaling": None})})
