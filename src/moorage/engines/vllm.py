"""The adapter of vLLM, any build of it: `vllm serve`, for accelerators and for the processor."""

import json
from collections.abc import Mapping

from moorage.core.facts import ModelFacts
from moorage.core.memory import GIB
from moorage.core.ports import Diagnosis, Launch, LaunchOrder, Probe, Support
from moorage.engines import embedded, program
from moorage.engines.choose import installed
from moorage.engines.footprints import least_bytes
from moorage.engines.options import unused
from moorage.engines.signatures import diagnose
from moorage.engines.tasks import task_of
from moorage.engines.vllm_fitting import LIBRARY, Fit, fit
from moorage.engines.vllm_flags import KV_BYTES, KV_DTYPES, check, command, stretched, unix_socket
from moorage.engines.vllm_signatures import SIGNATURES
from moorage.wire.control import Installation, Load, Machine, Manners
from moorage.wire.names import Task

RANK_CUDA = 30
RANK = 5
"""On the processor below the embedded engines: it takes half a minute to start and gigabytes to be."""
TASKS: tuple[Task, ...] = ("generate", "embed", "rerank", "classify")
HONOURED = frozenset(
    (
        *("max_model_len", "max_sequences", "threads", "batch_tokens", "dtype", "kv_cache_dtype", "quantization"),
        *("memory_fraction", "tensor_parallel", "pipeline_parallel", "data_parallel", "cuda_graphs"),
        *("attention_backend", "cpu_offload", "rope_scaling", "trust_remote_code", "lora"),
    )
)
CPU_BUILD = "+cpu"
"""What the version of a build for the processor ends in."""
ENVIRONMENT: Mapping[str, str] = {
    "PYTHONUNBUFFERED": "1",
    # It has an environment of its own, into which nobody else's packages belong.
    "PYTHONPATH": "",
    "PYTHONNOUSERSITE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_LOGGING_COLOR": "0",
    # What its processes say to each other stays on this machine.
    "VLLM_HOST_IP": "127.0.0.1",
}
PROBES: Mapping[Task, tuple[str, Mapping[str, object]]] = {
    **embedded.PROBES,
    "classify": ("/classify", {"input": "ready"}),
}


class Vllm:
    name = "vllm"
    proven = "0.32.0+cpu"
    metrics_path = "/metrics"
    cancels_unary = True
    echoes_model = False

    def supports(self, facts: ModelFacts, machine: Machine) -> Support:
        if facts.format == "gguf":
            return Support(ok=False, why="it reads GGUF files only by a plug-in; take the model's safetensors")
        if facts.format != "safetensors":
            return Support(ok=False, why=f"it runs safetensors, this one is {facts.format}")
        if facts.task not in TASKS:
            return Support(ok=False, why=f"it is asked here for texts and vectors, this model is to {facts.task}")
        if facts.quantization and facts.quantization.startswith("mlx"):
            return Support(ok=False, why="the files are in MLX's format, which only Apple's processors run")
        found = installed(machine, self.name)
        if found is None:
            return program.absent(self.name)
        for_cpu = found.variant == "cpu" or CPU_BUILD in found.version
        cards = () if for_cpu else program.cards(machine)
        least = least_bytes(LIBRARY, facts, quantization="int8" if cards else "none")
        if refusal := embedded.no_room(least, program.on_devices(machine, cards, None)):
            return refusal
        words = f"runs {facts.quantization or 'safetensors'} {facts.architecture} models"
        if cards:
            return Support(ok=True, why=f"{words} on the accelerator", rank=RANK_CUDA, accelerator=program.CUDA)
        return Support(ok=True, why=f"{words} on the CPU, and starts slower than others there", rank=RANK)

    def launch(self, order: LaunchOrder) -> Launch:
        spec = order.model
        task = task_of(spec, order.facts, self.name, TASKS)
        found = program.installation(order, self.name)
        check(spec)
        facts = stretched(order.facts, spec)
        chosen = fit(order, facts, task, _kv_dtype(order))
        words, why = command(order, found, chosen, facts, task)
        return Launch(
            argv=(*found.command, facts.path, *words),
            address=f"unix:{order.socket}" if unix_socket(found) else f"http://127.0.0.1:{order.port}",
            token=order.token,
            served_name=spec.name,
            capacity=chosen.sequences,
            max_model_len=chosen.context,
            task=task,
            env={**found.env, **ENVIRONMENT, **_of_this_start(order, found, chosen)},
            memory=chosen.memory,
            loras=order.loras,
            manners=Manners(elastic="enable-elastic-ep" in spec.options.extra_args),
            why=(*chosen.why, *why, *unused(spec, self.name, HONOURED)),
        )

    def probe(self, launch: Launch) -> Probe:
        path, fields = PROBES[launch.task]
        return Probe("POST", path, json.dumps({"model": launch.served_name, **fields}).encode())

    def load_lora(self, name: str, path: str) -> Probe:
        return Probe("POST", "/v1/load_lora_adapter", json.dumps({"lora_name": name, "lora_path": path}).encode())

    def unload_lora(self, name: str) -> Probe:
        return Probe("POST", "/v1/unload_lora_adapter", json.dumps({"lora_name": name}).encode())

    def observe(self, metrics: Mapping[str, float]) -> Load:
        # Every engine within one server (data parallel) tells its own, and they come summed.
        engines = max(1.0, metrics.get("vllm:cache_config_info", 1.0))
        used = program.first(metrics, "vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")
        return Load(
            running=metrics.get("vllm:num_requests_running"),
            queued=metrics.get("vllm:num_requests_waiting"),
            kv_used=None if used is None else min(1.0, used / engines),
            progress=_progress(metrics),
        )

    def diagnose(self, log: str) -> Diagnosis | None:
        return diagnose(log, SIGNATURES)


def _progress(metrics: Mapping[str, float]) -> float | None:
    """Tokens of finished prompts and of replies; besides them steps, which move within a long prompt too."""
    return program.total(
        metrics, "vllm:generation_tokens_total", "vllm:prompt_tokens_total", "vllm:iteration_tokens_total_count"
    )


def _kv_dtype(order: LaunchOrder) -> str:
    """Of the pool, in our words."""
    wanted = KV_DTYPES.get(order.model.options.kv_cache_dtype)
    if wanted == "fp8":
        return "fp8"
    return "f32" if order.model.options.dtype == "float32" else "bf16"


def _of_this_start(order: LaunchOrder, found: Installation, chosen: Fit) -> dict[str, str]:
    env = {"VLLM_API_KEY": order.token}
    if order.loras:
        env["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "1"
    if not order.devices:
        env |= _threads(order, chosen)
        if chosen.kv_bytes is not None and found.flags is not None and KV_BYTES not in found.flags:
            env["VLLM_CPU_KVCACHE_SPACE"] = str(max(1, round(chosen.kv_bytes / GIB)))
    return env


def _threads(order: LaunchOrder, chosen: Fit) -> dict[str, str]:
    """All processors are taken one by one; of a part of them the kernel chooses, since others choose too."""
    cpus = order.machine.cpus
    ranks = order.model.options.tensor_parallel * order.model.options.pipeline_parallel
    if len(cpus) == chosen.threads and ranks == 1:
        return {"VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, cpus))}
    return {
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": str(max(1, chosen.threads // ranks)),
        "KMP_BLOCKTIME": "5",
    }
