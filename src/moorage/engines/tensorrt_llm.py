"""The adapter of TensorRT-LLM: `trtllm-serve serve`, with its PyTorch backend."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moorage.config.model import ModelSpec
from moorage.core.facts import ModelFacts
from moorage.core.ports import Diagnosis, Launch, LaunchOrder, Probe, Support
from moorage.engines import embedded, pooled, program
from moorage.engines.arguments import Arguments
from moorage.engines.choose import installed
from moorage.engines.footprints import least_bytes
from moorage.engines.options import unused
from moorage.engines.signatures import diagnose
from moorage.engines.tasks import task_of
from moorage.engines.tensorrt_llm_signatures import SIGNATURES
from moorage.errors import EngineError
from moorage.wire.control import Load, Machine, Manners
from moorage.wire.names import Task

RANK = 20
"""On accelerators below vLLM and SGLang, which start in a fraction of its time and read more models."""
TASKS: tuple[Task, ...] = ("generate",)
HABITS = pooled.Habits(library="tensorrt-llm", sequences=256, share=0.9, step_tokens=8192)
HONOURED = frozenset(
    (
        *("max_model_len", "max_sequences", "batch_tokens", "dtype", "kv_cache_dtype", "quantization"),
        *("memory_fraction", "tensor_parallel", "pipeline_parallel", "cuda_graphs", "attention_backend"),
        "trust_remote_code",
    )
)
GONE: Mapping[str, str] = {
    "--api-key": "it has none: engines listen on loopback, and clients show their keys to moorage",
    "--gpu-memory-utilization": "it is vLLM's word: set options.memory_fraction",
    "--max-model-len": "it is vLLM's word: set options.max_model_len",
    "--max_input_len": "max_seq_len bounds prompt and reply together: set options.max_model_len",
    "--max_output_len": "max_seq_len bounds prompt and reply together: set options.max_model_len",
    "--tokenizer_dir": "it is tokenizer now",
}
OURS: Mapping[str, str] = {
    "--host": "engines listen where moorage tells them, and nowhere else",
    "--port": "engines listen where moorage tells them, and nowhere else",
    "--config": "write its settings as options",
    "--extra_llm_api_options": "write its settings as options",
    "--served_model_name": "say it in the model's name",
}
NEUTRAL: Mapping[str, str] = {
    "--max_seq_len": "max_model_len",
    "--max_batch_size": "max_sequences",
    "--max_num_tokens": "batch_tokens",
    "--tp_size": "tensor_parallel",
    "--tensor_parallel_size": "tensor_parallel",
    "--pp_size": "pipeline_parallel",
    "--pipeline_parallel_size": "pipeline_parallel",
    "--free_gpu_memory_fraction": "memory_fraction",
    "--kv_cache_free_gpu_memory_fraction": "memory_fraction",
    "--trust_remote_code": "trust_remote_code",
}
CONFIG = ("--config", "--extra_llm_api_options")
FREE = ("--free_gpu_memory_fraction", "--kv_cache_free_gpu_memory_fraction")
FREE_LEAST, FREE_MOST = 0.05, 0.98
NOT_SERVED = (
    *("/v1/embeddings", "/v2/embed", "/rerank", "/v1/rerank", "/v2/rerank", "/score", "/v1/score", "/classify"),
    *("/pooling", "/tokenize", "/detokenize"),
)
ENVIRONMENT: Mapping[str, str] = {
    "PYTHONUNBUFFERED": "1",
    "PYTHONPATH": "",
    "PYTHONNOUSERSITE": "1",
    "HF_HUB_OFFLINE": "1",
    "TRTLLM_NO_USAGE_STATS": "1",
    # In a container it usually runs as root, which its MPI refuses otherwise.
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
}


class TensorRtLlm:
    name = "tensorrt-llm"
    proven = ""
    metrics_path = "/prometheus/metrics"
    """/metrics is JSON. There only where its configuration asks for it, as ours does."""
    cancels_unary = True
    echoes_model = False

    def supports(self, facts: ModelFacts, machine: Machine) -> Support:
        if facts.format != "safetensors":
            return Support(ok=False, why=f"it runs safetensors, this one is {facts.format}")
        if facts.task not in TASKS:
            return Support(ok=False, why=f"it writes texts alone, this model is to {facts.task}")
        cards = program.cards(machine)
        if not cards:
            return program.without_cards("TensorRT-LLM")
        if installed(machine, self.name) is None:
            return program.absent(self.name)
        if refusal := embedded.no_room(least_bytes(HABITS.library, facts), program.on_devices(machine, cards, None)):
            return refusal
        words = f"runs {facts.quantization or 'safetensors'} {facts.architecture} models on the accelerator"
        return Support(ok=True, why=words, rank=RANK, accelerator=program.CUDA)

    def launch(self, order: LaunchOrder) -> Launch:
        spec, facts = order.model, order.facts
        task = task_of(spec, facts, self.name, TASKS)
        found = program.installation(order, self.name)
        program.refuse(spec, OURS, NEUTRAL)
        if spec.options.rope_scaling is not None:
            raise EngineError(
                f"model {spec.name!r}: TensorRT-LLM has no options.rope_scaling; write rope_scaling into the model's "
                "config.json, or take vllm or sglang"
            )
        kv_dtype, kv_why = _kv_dtype(spec)
        chosen = pooled.fit(order, HABITS, "fp8" if kv_dtype == "fp8" else "bf16")
        quantization_why = _quantization(spec, facts)
        config = f"{Path(order.socket).parent}/tensorrt-llm.yaml"
        free = _free_share(spec, chosen)
        arguments = Arguments(spec, found, GONE)
        served = _add_place(arguments, order)
        _add_sizes(arguments, order, chosen, free)
        arguments.add(arguments.has(*CONFIG) or CONFIG[0], config, of="config")
        arguments.extra()
        return Launch(
            argv=(*found.command, facts.path, *arguments.words()),
            address=f"http://127.0.0.1:{order.port}",
            token="",
            served_name=served,
            capacity=chosen.sequences,
            max_model_len=chosen.context,
            task=task,
            env={**found.env, **ENVIRONMENT},
            files={config: json.dumps(_settings(spec, kv_dtype, free)).encode()},
            manners=Manners(paths=dict.fromkeys(NOT_SERVED, "")),
            memory=chosen.memory,
            why=(*chosen.why, *_free_why(free), *quantization_why, *kv_why, *unused(spec, self.name, HONOURED)),
        )

    def probe(self, launch: Launch) -> Probe:
        return embedded.probe(launch)

    def observe(self, metrics: Mapping[str, float]) -> Load:
        return Load(
            running=metrics.get("trtllm_num_requests_running"),
            queued=metrics.get("trtllm_num_requests_waiting"),
            kv_used=metrics.get("trtllm_kv_cache_utilization"),
            # Calls are told when they end; between, nothing moves that is told.
            progress=program.first(metrics, "trtllm_request_success_total"),
        )

    def diagnose(self, log: str) -> Diagnosis | None:
        return diagnose(log, SIGNATURES)


def _add_place(arguments: Arguments, order: LaunchOrder) -> str:
    """Returns the name it will answer to: its folder's, where this version cannot be told one."""
    arguments.add("--host", "127.0.0.1", of="host")
    arguments.add("--port", order.port, of="port")
    arguments.add("--backend", "pytorch", of="start")
    if arguments.knows("--served_model_name"):
        arguments.add("--served_model_name", order.model.name, of="name")
        return order.model.name
    return Path(order.facts.path).name


def _add_sizes(arguments: Arguments, order: LaunchOrder, chosen: pooled.Fit, free: float | None) -> None:
    options = order.model.options
    arguments.add("--max_seq_len", chosen.context, of="max_model_len")
    arguments.add("--max_batch_size", chosen.sequences, of="max_sequences")
    arguments.add("--max_num_tokens", options.batch_tokens, of="batch_tokens")
    arguments.add_if(options.tensor_parallel > 1, "--tp_size", options.tensor_parallel, of="tensor_parallel")
    arguments.add_if(options.pipeline_parallel > 1, "--pp_size", options.pipeline_parallel, of="pipeline_parallel")
    arguments.add(arguments.has(*FREE) or FREE[0], free, of="memory_fraction")
    arguments.add_if(options.trust_remote_code, "--trust_remote_code", of="trust_remote_code")


def _settings(spec: ModelSpec, kv_dtype: str, free: float | None) -> dict[str, Any]:
    """Its YAML file, of which JSON is a part. A section there replaces what flags said of it."""
    options = spec.options
    kv: dict[str, Any] = {"enable_block_reuse": options.prefix_caching}
    if kv_dtype != "auto":
        kv["dtype"] = kv_dtype
    if free is not None:
        kv["free_gpu_memory_fraction"] = free
    settings: dict[str, Any] = {"return_perf_metrics": True, "enable_iter_perf_stats": True, "kv_cache_config": kv}
    if not options.cuda_graphs:
        settings["cuda_graph_config"] = None
    if options.dtype != "auto":
        settings["dtype"] = options.dtype
    if options.attention_backend is not None:
        settings["attn_backend"] = options.attention_backend
    return settings


def _free_share(spec: ModelSpec, chosen: pooled.Fit) -> float | None:
    """options.memory_fraction is of a whole card; TensorRT-LLM asks for a share of what the weights leave."""
    wanted = spec.options.memory_fraction
    if wanted is None:
        return None
    taken = chosen.memory.total_bytes - chosen.memory.kv_bytes
    left = chosen.card_bytes - taken
    return round(min(FREE_MOST, max(FREE_LEAST, (chosen.card_bytes * wanted - taken) / max(1, left))), 3)


def _free_why(free: float | None) -> tuple[str, ...]:
    return () if free is None else (f"{free:.0%} of what the weights leave of a card for keys and values",)


def _kv_dtype(spec: ModelSpec) -> tuple[str, tuple[str, ...]]:
    wanted = spec.options.kv_cache_dtype
    if wanted in ("auto", "f16", "bf16", "f32"):
        told = f"KV cache as the model's own numbers: TensorRT-LLM has those and fp8, no {wanted}"
        return "auto", () if wanted == "auto" else (told,)
    nearest = f"KV cache in fp8, the nearest to {wanted} that TensorRT-LLM has: options.kv_cache_dtype"
    return "fp8", (nearest,) if wanted.startswith("q") else ()


def _quantization(spec: ModelSpec, facts: ModelFacts) -> tuple[str, ...]:
    """It computes with the numbers of the files. Raises EngineError for others."""
    wanted = spec.options.quantization
    if wanted == "none":
        return ()
    if wanted in (facts.quantization or "").lower():
        return (f"{wanted}: as the files were made",)
    raise EngineError(
        f"model {spec.name!r}: options.quantization is {wanted}, and TensorRT-LLM makes no numbers smaller at load: "
        "take a checkpoint made so (nvidia/…-FP8, …-NVFP4), or engine vllm or sglang"
    )
