"""The adapter of mistral.rs: `mistralrs serve`, and `mistralrs-server` as it was before."""

import json
from collections.abc import Mapping
from pathlib import Path

from moorage.config.model import ModelSpec
from moorage.core.facts import ModelFacts
from moorage.core.ports import Diagnosis, Launch, LaunchOrder, Probe, Support
from moorage.engines import embedded, pooled, program
from moorage.engines.arguments import Arguments
from moorage.engines.choose import installed
from moorage.engines.footprints import least_bytes
from moorage.engines.mistralrs_signatures import SIGNATURES
from moorage.engines.options import unused
from moorage.engines.signatures import diagnose
from moorage.engines.tasks import task_of
from moorage.errors import EngineError
from moorage.wire.control import Installation, Load, Machine, Manners
from moorage.wire.names import Task

RANK = 15
"""On accelerators above the embedded engines, below those whose batches are larger."""
TASKS: tuple[Task, ...] = ("generate",)
HABITS = pooled.Habits(library="mistral.rs", sequences=32, share=0.9, step_tokens=2048)
HONOURED = frozenset(
    (
        *("max_model_len", "max_sequences", "batch_tokens", "dtype", "kv_cache_dtype", "quantization"),
        *("memory_fraction", "tensor_parallel", "cuda_graphs", "lora"),
    )
)
ANY_NAME = "default"
"""What calls may name instead of the path, which is the model's name there."""
GONE: Mapping[str, str] = {
    "--api-key": "it has none: engines listen on loopback, and clients show their keys to moorage",
    "--max-model-len": "it has none: options.max_model_len sizes the pool of all calls",
    "--use-flash-attn": "it is chosen when the program is built (feature flash-attn)",
    "--gpu-memory-utilization": "it is vLLM's word: set options.memory_fraction",
    "--repeat-last-n": "calls say it, as frequency_penalty",
}
OURS: Mapping[str, str] = {
    "--host": "engines listen where moorage tells them, and nowhere else",
    "--serve-ip": "engines listen where moorage tells them, and nowhere else",
    "--port": "engines listen where moorage tells them, and nowhere else",
    "-p": "engines listen where moorage tells them, and nowhere else",
    "--mcp-port": "moorage answers clients, engines do not",
    "--ui": "moorage answers clients, engines do not",
    "--log": "prompts do not belong into a log that others read; moorage logs a line for each call",
    "--model-id": "say it in the model's source",
}
NEUTRAL: Mapping[str, str] = {
    "--max-seqs": "max_sequences",
    "--isq": "quantization",
    "--dtype": "dtype",
    "--pa-context-len": "max_model_len",
    "--pa-ctxt-len": "max_model_len",
    "--pa-memory-fraction": "memory_fraction",
    "--pa-gpu-mem-usage": "memory_fraction",
    "--pa-cache-type": "kv_cache_dtype",
    "--prefix-cache-n": "prefix_caching",
    "--max-num-batched-tokens": "batch_tokens",
    "--lora": "lora",
}
BITS: Mapping[str, str] = {"int8": "8", "fp8": "8", "int4": "4", "nf4": "4"}
DTYPES: Mapping[str, str] = {"auto": "auto", "float32": "f32", "float16": "f16", "bfloat16": "bf16"}
NOT_SERVED = (
    *("/v1/embeddings", "/v2/embed", "/rerank", "/v1/rerank", "/v2/rerank", "/score", "/v1/score", "/classify"),
    *("/pooling", "/tokenize", "/detokenize"),
)


class MistralRs:
    name = "mistralrs"
    proven = ""
    metrics_path = "/metrics"
    """The old server has none."""
    cancels_unary = False
    echoes_model = False

    def supports(self, facts: ModelFacts, machine: Machine) -> Support:
        if facts.format not in ("safetensors", "gguf"):
            return Support(ok=False, why=f"it runs safetensors and GGUF files, this one is {facts.format}")
        if facts.task not in TASKS:
            return Support(ok=False, why=f"it is asked here for texts, this model is to {facts.task}")
        cards = program.cards(machine)
        if not cards:
            return Support(ok=False, why="on the processor others are faster; this machine has no NVIDIA accelerator")
        if installed(machine, self.name) is None:
            return program.absent(self.name, "put mistralrs on PATH (moorage engine install mistralrs says how)")
        least = least_bytes(HABITS.library, facts, quantization="none" if facts.format == "gguf" else "int4")
        if refusal := embedded.no_room(least, program.on_devices(machine, cards, None)):
            return refusal
        words = f"runs {facts.quantization or facts.format} {facts.architecture} models on the accelerator"
        return Support(ok=True, why=words, rank=RANK, accelerator=program.CUDA)

    def launch(self, order: LaunchOrder) -> Launch:
        spec, facts = order.model, order.facts
        task = task_of(spec, facts, self.name, TASKS)
        found = program.installation(order, self.name)
        program.refuse(spec, OURS, NEUTRAL)
        _check(order)
        chosen = pooled.fit(order, HABITS, "fp8" if _small_kv(spec) else "bf16")
        arguments = Arguments(spec, found, GONE)
        why = _new(arguments, order, chosen) if is_new(found) else _old(arguments, order, chosen)
        return Launch(
            argv=(*found.command, *arguments.words()),
            address=f"http://127.0.0.1:{order.port}",
            token="",
            served_name=ANY_NAME,
            capacity=chosen.sequences,
            max_model_len=chosen.context,
            task=task,
            env={
                **found.env,
                "HF_HUB_OFFLINE": "1",
                **({} if spec.options.cuda_graphs else {"MISTRALRS_CUDA_GRAPHS": "0"}),
                **({"MISTRALRS_ALLOW_RUNTIME_LORA_UPDATING": "1"} if order.loras else {}),
            },
            loras=order.loras,
            manners=Manners(paths=dict.fromkeys(NOT_SERVED, "")),
            memory=chosen.memory,
            why=(*chosen.why, *why, *unused(spec, self.name, HONOURED)),
        )

    def probe(self, launch: Launch) -> Probe:
        return embedded.probe(launch)

    def load_lora(self, name: str, path: str) -> Probe:
        return Probe("POST", "/v1/load_lora_adapter", json.dumps({"lora_name": name, "lora_path": path}).encode())

    def unload_lora(self, name: str) -> Probe:
        return Probe("POST", "/v1/unload_lora_adapter", json.dumps({"lora_name": name}).encode())

    def observe(self, metrics: Mapping[str, float]) -> Load:
        blocks = metrics.get("mistralrs_kv_cache_blocks_total")
        return Load(
            running=metrics.get("mistralrs_sequences_running"),
            queued=metrics.get("mistralrs_sequences_waiting"),
            kv_used=program.share(metrics.get("mistralrs_kv_cache_blocks_used"), blocks),
            progress=metrics.get("mistralrs_tokens_processed_total"),
        )

    def diagnose(self, log: str) -> Diagnosis | None:
        return diagnose(log, SIGNATURES)


def is_new(found: Installation) -> bool:
    """Whether it is `mistralrs serve`; the old program was called mistralrs-server and had no such word."""
    if found.flags is not None and ("--serve-ip" in found.flags or "--host" in found.flags):
        return "--host" in found.flags
    return not Path(found.command[0]).name.startswith("mistralrs-server")


def _new(arguments: Arguments, order: LaunchOrder, chosen: pooled.Fit) -> tuple[str, ...]:
    arguments.add("--host", "127.0.0.1", of="host")
    arguments.add("--port", order.port, of="port")
    _add_shared(arguments, order, chosen)
    why = _add_pool(arguments, order, chosen, "--pa-memory-fraction", "--pa-context-len")
    if arguments.has("--max-num-batched-tokens") is not None:
        arguments.add("--max-num-batched-tokens", order.model.options.batch_tokens, of="batch_tokens")
    _add_files(arguments, order, "--quantized-file", ("--format", "gguf"))
    arguments.add_if(bool(order.loras), "--enable-lora", of="lora")
    for name, path in order.loras.items():
        arguments.add("--lora", f"{name}={path}", of="lora")
    arguments.extra()
    return why


def _old(arguments: Arguments, order: LaunchOrder, chosen: pooled.Fit) -> tuple[str, ...]:
    """Its flags stand before the kind of model, that one's own behind it."""
    if order.loras:
        raise EngineError(
            f"model {order.model.name!r}: this mistralrs-server takes no options.lora beside the model; install "
            "mistralrs 0.9 or newer"
        )
    arguments.add("--serve-ip", "127.0.0.1", of="host")
    arguments.add("--port", order.port, of="port")
    _add_shared(arguments, order, chosen)
    why = _add_pool(arguments, order, chosen, "--pa-gpu-mem-usage", "--pa-ctxt-len")
    if arguments.has("--prompt-batchsize") is not None:
        arguments.add("--prompt-batchsize", order.model.options.batch_tokens, of="batch_tokens")
    arguments.extra()
    arguments.word("gguf" if order.facts.format == "gguf" else "plain")
    _add_files(arguments, order, "--quantized-filename", ())
    return why


def _add_shared(arguments: Arguments, order: LaunchOrder, chosen: pooled.Fit) -> None:
    options = order.model.options
    arguments.add("--max-seqs", chosen.sequences, of="max_sequences")
    arguments.add_if(not options.prefix_caching, "--prefix-cache-n", 0, of="prefix_caching")
    if options.quantization in BITS:
        arguments.add("--isq", BITS[options.quantization], of="quantization")
    arguments.add_if(_small_kv(order.model), "--pa-cache-type", "f8e4m3", of="kv_cache_dtype")


def _add_pool(arguments: Arguments, order: LaunchOrder, chosen: pooled.Fit, share: str, tokens: str) -> tuple[str, ...]:
    """Its pool is given as a share of the card, or as tokens: one of the two."""
    options = order.model.options
    if options.memory_fraction is not None or options.max_model_len is None:
        arguments.add(share, options.memory_fraction, of="memory_fraction")
        return ()
    pool = options.max_model_len * chosen.sequences
    arguments.add(tokens, pool, of="max_model_len")
    return (f"a pool of {pool} tokens: options.max_model_len for each call",)


def _add_files(arguments: Arguments, order: LaunchOrder, file_flag: str, gguf: tuple[str, ...]) -> None:
    facts = order.facts
    if facts.format != "gguf":
        arguments.add(_model_flag(order, facts.format), facts.path, of="source")
        arguments.add_if(order.model.options.dtype != "auto", "--dtype", DTYPES[order.model.options.dtype], of="dtype")
        return
    if gguf:
        arguments.add(gguf[0], gguf[1], of="source")
    arguments.add(_model_flag(order, facts.format), str(Path(facts.path).parent), of="source")
    files = ";".join(Path(file).name for file in facts.weights) or Path(facts.path).name
    arguments.add(file_flag, files, of="source")


def _model_flag(order: LaunchOrder, format: str) -> str:
    """The old one calls it by another name for quantised files."""
    found = program.installation(order, MistralRs.name)
    return "--quantized-model-id" if format == "gguf" and not is_new(found) else "--model-id"


def _small_kv(spec: ModelSpec) -> bool:
    return spec.options.kv_cache_dtype in ("fp8", "q8_0", "q4_0")


def _check(order: LaunchOrder) -> None:
    spec, options = order.model, order.model.options
    if options.quantization in BITS and order.facts.format == "gguf":
        raise EngineError(
            f"model {spec.name!r}: options.quantization is for safetensors; a GGUF file is quantised already"
        )
    found = (order.facts.quantization or "").lower()
    if options.quantization in ("awq", "gptq") and options.quantization not in found:
        raise EngineError(
            f"model {spec.name!r}: options.quantization is {options.quantization}, which is a way files are made, and "
            f"these are {order.facts.quantization or 'not'}: take files made so, or int8 or int4"
        )
    if options.tensor_parallel > 1 and options.tensor_parallel & (options.tensor_parallel - 1):
        raise EngineError(
            f"model {spec.name!r}: options.tensor_parallel is {options.tensor_parallel}; mistral.rs wants a power "
            "of two"
        )
