"""The adapter of SGLang: `sglang serve`, before 0.5.9 `python -m sglang.launch_server`."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

from moorage.config.model import ModelSpec
from moorage.core.facts import ModelFacts
from moorage.core.memory import GIB
from moorage.core.ports import Diagnosis, Launch, LaunchOrder, Probe, Support
from moorage.engines import embedded, pooled, program
from moorage.engines.arguments import Arguments
from moorage.engines.choose import installed
from moorage.engines.footprints import least_bytes
from moorage.engines.options import unused
from moorage.engines.sglang_signatures import SIGNATURES
from moorage.engines.signatures import diagnose
from moorage.engines.tasks import task_of
from moorage.errors import EngineError
from moorage.wire.control import Load, Machine, Manners
from moorage.wire.names import Task

RANK = 29
"""On accelerators, just below vLLM, which ran in our tests."""
TASKS: tuple[Task, ...] = ("generate", "embed")
HABITS = pooled.Habits(library="sglang", sequences=256, share=0.88, step_tokens=8192)
HONOURED = frozenset(
    (
        *("max_model_len", "max_sequences", "batch_tokens", "dtype", "kv_cache_dtype", "quantization"),
        *("memory_fraction", "tensor_parallel", "pipeline_parallel", "data_parallel", "cuda_graphs"),
        *("attention_backend", "cpu_offload", "rope_scaling", "trust_remote_code", "lora"),
    )
)
GONE: Mapping[str, str] = {
    "--cuda-graph-bs": "it is cuda-graph-config now",
    "--disable-cuda-graph": "set options.cuda_graphs to false",
    "--disable-flashinfer": "set options.attention_backend to triton",
    "--enable-dp-attention": "it is attn-dp-size now",
    "--enable-ep-moe": "it is ep-size now",
    "--enable-flashinfer-mla": "set options.attention_backend",
    "--enforce-eager": "it is vLLM's word: set options.cuda_graphs to false",
    "--gpu-memory-utilization": "it is vLLM's word: set options.memory_fraction",
    "--max-model-len": "it is vLLM's word: set options.max_model_len",
    "--max-num-seqs": "it is vLLM's word: set options.max_sequences",
    "--oltp-traces-endpoint": "it is otlp-traces-endpoint, rightly spelled",
    "--torchao-config": "set options.quantization",
}
OURS: Mapping[str, str] = {
    "--host": "engines listen where moorage tells them, and nowhere else",
    "--port": "engines listen where moorage tells them, and nowhere else",
    "--api-key": "moorage gives each start a key of its own; clients' keys are auth.keys",
    "--admin-api-key": "its routes to administer it are never passed on",
    "--config": "write its settings as options",
    "--model-path": "say it in the model's source",
    "--model": "say it in the model's source",
    "--served-model-name": "say it in the model's name",
    "--log-requests": "prompts do not belong into a log that others read; moorage logs a line for each call",
}
NEUTRAL: Mapping[str, str] = {
    "--context-length": "max_model_len",
    "--mem-fraction-static": "memory_fraction",
    "--max-running-requests": "max_sequences",
    "--chunked-prefill-size": "batch_tokens",
    "--dtype": "dtype",
    "--kv-cache-dtype": "kv_cache_dtype",
    "--quantization": "quantization",
    "--tp-size": "tensor_parallel",
    "--tensor-parallel-size": "tensor_parallel",
    "--pp-size": "pipeline_parallel",
    "--pipeline-parallel-size": "pipeline_parallel",
    "--dp-size": "data_parallel",
    "--data-parallel-size": "data_parallel",
    "--attention-backend": "attention_backend",
    "--cpu-offload-gb": "cpu_offload",
    "--disable-radix-cache": "prefix_caching",
    "--trust-remote-code": "trust_remote_code",
    "--lora-paths": "lora",
}
QUANTIZATIONS: Mapping[str, str] = {"fp8": "fp8", "int8": "fp8", "int4": "bitsandbytes", "nf4": "bitsandbytes"}
"""What it computes at load, the nearest where it has no such thing: 8-bit integers need a checkpoint made so."""
KV_DTYPES: Mapping[str, str] = {"bf16": "bf16", "fp8": "fp8_e4m3", "q8_0": "fp8_e4m3", "q4_0": "fp8_e4m3"}
NOT_SERVED = ("/v2/embed", "/rerank", "/v1/rerank", "/v2/rerank", "/score", "/v1/score", "/pooling")
"""Its rerank and score answer in shapes of their own."""
ENVIRONMENT: Mapping[str, str] = {
    "PYTHONUNBUFFERED": "1",
    "PYTHONPATH": "",
    "PYTHONNOUSERSITE": "1",
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
}


class SgLang:
    name = "sglang"
    proven = ""
    metrics_path = "/metrics"
    cancels_unary = False
    """It looks every four seconds whether the client of a call that does not stream is still there."""
    echoes_model = False

    def supports(self, facts: ModelFacts, machine: Machine) -> Support:
        if facts.format != "safetensors":
            return Support(ok=False, why=f"it runs safetensors, this one is {facts.format}")
        if facts.task not in TASKS:
            return Support(ok=False, why=f"it is asked here for texts and vectors, this model is to {facts.task}")
        cards = program.cards(machine)
        if not cards:
            return program.without_cards("SGLang")
        if installed(machine, self.name) is None:
            return program.absent(self.name)
        least = least_bytes(HABITS.library, facts, quantization="fp8")
        if refusal := embedded.no_room(least, program.on_devices(machine, cards, None)):
            return refusal
        words = f"runs {facts.quantization or 'safetensors'} {facts.architecture} models on the accelerator"
        return Support(ok=True, why=words, rank=RANK, accelerator=program.CUDA)

    def launch(self, order: LaunchOrder) -> Launch:
        spec = order.model
        task = task_of(spec, order.facts, self.name, TASKS)
        found = program.installation(order, self.name)
        program.refuse(spec, OURS, NEUTRAL)
        kv_dtype, kv_why = _kv_dtype(spec)
        chosen = pooled.fit(order, HABITS, "fp8" if kv_dtype.startswith("fp8") else "bf16")
        config = f"{Path(order.socket).parent}/sglang.yaml"
        arguments = Arguments(spec, found, GONE)
        _add_place(arguments, order, config)
        _add_sizes(arguments, order, chosen, kv_dtype)
        why = _add_numbers(arguments, order)
        arguments.add_if(task == "embed", "--is-embedding", of="task")
        _add_lora(arguments, order)
        _add_rope(arguments, spec, order.facts)
        arguments.extra()
        return Launch(
            argv=(*found.command, *arguments.words()),
            address=f"http://127.0.0.1:{order.port}",
            token=order.token,
            served_name=spec.name,
            capacity=chosen.sequences,
            max_model_len=chosen.context,
            task=task,
            env={**found.env, **ENVIRONMENT},
            # A key on the command line could be read by every user of the machine.
            files={config: json.dumps({"api-key": order.token}).encode()},
            loras=order.loras,
            manners=Manners(paths=dict.fromkeys(NOT_SERVED, ""), lora_name="{model}:{lora}"),
            memory=chosen.memory,
            why=(*chosen.why, *why, *kv_why, *unused(spec, self.name, HONOURED)),
        )

    def probe(self, launch: Launch) -> Probe:
        return embedded.probe(launch)

    def load_lora(self, name: str, path: str) -> Probe:
        return Probe("POST", "/load_lora_adapter", json.dumps({"lora_name": name, "lora_path": path}).encode())

    def unload_lora(self, name: str) -> Probe:
        return Probe("POST", "/unload_lora_adapter", json.dumps({"lora_name": name}).encode())

    def observe(self, metrics: Mapping[str, float]) -> Load:
        # The names began with a colon, then for a while with an underscore where the exporter replaced it.
        told = {name.replace("sglang_", "sglang:", 1): value for name, value in metrics.items()}
        return Load(
            running=told.get("sglang:num_running_reqs"),
            queued=told.get("sglang:num_queue_reqs"),
            kv_used=told.get("sglang:token_usage"),
            progress=program.total(told, "sglang:generation_tokens_total", "sglang:prompt_tokens_total"),
        )

    def diagnose(self, log: str) -> Diagnosis | None:
        return diagnose(log, SIGNATURES)


def _add_place(arguments: Arguments, order: LaunchOrder, config: str) -> None:
    arguments.add("--model-path", order.facts.path, of="source")
    arguments.add("--served-model-name", order.model.name, of="name")
    arguments.add("--host", "127.0.0.1", of="host")
    arguments.add("--port", order.port, of="port")
    arguments.add("--config", config, of="config")
    arguments.add("--enable-metrics", of="metrics")
    if arguments.has("--enable-cache-report") is not None:
        arguments.add("--enable-cache-report", of="prefix_caching")


def _add_sizes(arguments: Arguments, order: LaunchOrder, chosen: pooled.Fit, kv_dtype: str) -> None:
    options = order.model.options
    arguments.add("--context-length", chosen.context, of="max_model_len")
    arguments.add("--max-running-requests", chosen.sequences, of="max_sequences")
    arguments.add("--chunked-prefill-size", options.batch_tokens, of="batch_tokens")
    arguments.add("--mem-fraction-static", options.memory_fraction, of="memory_fraction")
    for flag, value, of in (
        ("--tp-size", options.tensor_parallel, "tensor_parallel"),
        ("--pp-size", options.pipeline_parallel, "pipeline_parallel"),
        ("--dp-size", options.data_parallel, "data_parallel"),
    ):
        arguments.add_if(value > 1, flag, value, of=of)
    arguments.add_if(kv_dtype != "auto", "--kv-cache-dtype", kv_dtype, of="kv_cache_dtype")
    if options.cpu_offload is not None:
        arguments.add("--cpu-offload-gb", math.ceil(options.cpu_offload / GIB), of="cpu_offload")


def _add_numbers(arguments: Arguments, order: LaunchOrder) -> tuple[str, ...]:
    options = order.model.options
    arguments.add_if(options.dtype != "auto", "--dtype", options.dtype, of="dtype")
    arguments.add("--attention-backend", options.attention_backend, of="attention_backend")
    arguments.add_if(not options.prefix_caching, "--disable-radix-cache", of="prefix_caching")
    arguments.add_if(options.trust_remote_code, "--trust-remote-code", of="trust_remote_code")
    if not options.cuda_graphs:
        _add_no_graphs(arguments)
    return _add_quantization(arguments, order.model, order.facts)


def _add_no_graphs(arguments: Arguments) -> None:
    if arguments.has("--cuda-graph-backend-decode") is None:
        arguments.add(arguments.has("--disable-cuda-graph") or "--cuda-graph-backend-decode", of="cuda_graphs")
        return
    arguments.add("--cuda-graph-backend-decode", "disabled", of="cuda_graphs")
    arguments.add("--cuda-graph-backend-prefill", "disabled", of="cuda_graphs")


def _add_quantization(arguments: Arguments, spec: ModelSpec, facts: ModelFacts) -> tuple[str, ...]:
    wanted, found = spec.options.quantization, (facts.quantization or "").lower()
    if wanted == "none":
        return ()
    if wanted in found:
        return (f"{wanted}: as the files were made",)
    if wanted in ("awq", "gptq"):
        raise EngineError(
            f"model {spec.name!r}: options.quantization is {wanted}, which is a way files are made, and these are "
            f"{facts.quantization or 'not'}: take files made so, or options.quantization fp8"
        )
    value = QUANTIZATIONS[wanted]
    arguments.add("--quantization", value, of="quantization")
    if value == "bitsandbytes":
        arguments.add("--load-format", value, of="quantization")
    nearest = "" if value == wanted else f", the nearest to {wanted} that SGLang computes at load"
    return (f"{value}{nearest}: options.quantization",)


def _kv_dtype(spec: ModelSpec) -> tuple[str, tuple[str, ...]]:
    wanted = spec.options.kv_cache_dtype
    if wanted in ("auto", "f16", "f32"):
        told = f"KV cache as the model's own numbers: SGLang has no {wanted} for it"
        return "auto", () if wanted == "auto" else (told,)
    value = KV_DTYPES[wanted]
    nearest = f"KV cache in {value}, the nearest to {wanted} that SGLang has: options.kv_cache_dtype"
    return value, (nearest,) if wanted.startswith("q") else ()


def _add_lora(arguments: Arguments, order: LaunchOrder) -> None:
    if not order.loras:
        return
    arguments.add("--enable-lora", of="lora")
    arguments.add("--max-loras-per-batch", len(order.loras) + 1, of="lora")
    arguments.add("--lora-paths", *(f"{name}={path}" for name, path in order.loras.items()), of="lora")


def _add_rope(arguments: Arguments, spec: ModelSpec, facts: ModelFacts) -> None:
    scaling = spec.options.rope_scaling
    if scaling is None:
        return
    rope: dict[str, object] = {"rope_type": scaling.type, "factor": scaling.factor}
    if facts.context_length is not None:
        rope["original_max_position_embeddings"] = facts.context_length
    arguments.add("--json-model-override-args", json.dumps({"rope_scaling": rope}), of="rope_scaling")
