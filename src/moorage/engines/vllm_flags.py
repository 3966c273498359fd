"""Neutral options as vLLM's flags, and what of its flags, values and variables is gone, ours, or has a better name."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from moorage.config.model import ModelSpec
from moorage.core.facts import ModelFacts
from moorage.core.ports import LaunchOrder
from moorage.engines.arguments import Arguments
from moorage.engines.vllm_fitting import Fit
from moorage.errors import EngineError
from moorage.wire.control import Installation
from moorage.wire.names import Task

GONE: Mapping[str, str] = {
    "--collect-model-execute-time": "it went with the first engine; its metrics tell more without it",
    "--cuda-graph-sizes": "it is cudagraph-capture-sizes now",
    "--device": "the installed build decides: moorage engine install vllm takes the one for this machine",
    "--disable-async-output-proc": "it went with the first engine",
    "--disable-frontend-multiprocessing": "the front is always a process of its own",
    "--disable-log-requests": "requests are not logged unless enable-log-requests asks for it; leave it out",
    "--enable-lora-bias": "bias of adapters is no longer served",
    "--enable-prompt-adapter": "prompt adapters are no longer served; use options.lora",
    "--enable-reasoning": "reasoning-parser alone is enough",
    "--guided-decoding-backend": "it is structured-outputs-config now",
    "--kv-cache-memory": "it is kv-cache-memory-bytes, and options.memory_fraction does it for every engine",
    "--lora-extra-vocab-size": "adapters with words of their own are no longer served",
    "--max-gpu-memory": "it never was: set options.memory_fraction",
    "--max-seq-len-to-capture": "it is max-cudagraph-capture-size now",
    "--max-seq-length": "it never was: set options.max_model_len",
    "--multi-step-stream-outputs": "it went with the first engine",
    "--ngram-prompt-lookup-max": "it is part of speculative-config now",
    "--num-lookahead-slots": "it is part of speculative-config now",
    "--num-scheduler-steps": "it went with the first engine, which it made up for",
    "--num-speculative-tokens": "it is part of speculative-config now",
    "--override-neuron-config": "it is additional-config now",
    "--override-pooler-config": "it is pooler-config now",
    "--preemption-mode": "preempted calls are always computed again",
    "--quantization-param-path": "scales of the KV cache come with the model's files",
    "--quantize": "it never was: set options.quantization",
    "--rope-scaling": "set options.rope_scaling",
    "--rope-theta": 'write it into hf-overrides: {"rope_parameters": {"rope_theta": …}}',
    "--scheduler-delay-factor": "it went with the first engine",
    "--speculative-model": "it is part of speculative-config now",
    "--swap-space": "calls are no longer swapped out; options.cpu_offload is for weights, kv-offloading-size for KV",
    "--task": "set the model's task; vLLM's own words are runner and convert now",
    "--tokenizer-pool-size": "it went with the first engine; api-server-count does more",
    "--use-v2-block-manager": "it went with the first engine",
    "--worker-use-ray": "it is distributed-executor-backend ray now",
}
"""Flags that are no more or never were → what to do instead."""

OURS: Mapping[str, str] = {
    "--api-key": "moorage gives each start a key of its own; clients' keys are auth.keys",
    "--config": "write its settings as options; moorage config import reads such a file",
    "--grpc": "moorage asks over HTTP",
    "--headless": "moorage starts engines that answer",
    "--host": "engines listen where moorage tells them, and nowhere else",
    "--model": "say it in the model's source",
    "--port": "engines listen where moorage tells them, and nowhere else",
    "--served-model-name": "say it in the model's name and aliases",
    "--uds": "engines listen where moorage tells them, and nowhere else",
    "--enable-log-requests": "prompts do not belong into a log that others read; moorage logs a line for each call",
}
"""Flags that would undo what the adapter sees to."""

NEUTRAL: Mapping[str, str] = {
    "--attention-backend": "attention_backend",
    "--cpu-offload-gb": "cpu_offload",
    "--data-parallel-size": "data_parallel",
    "-dp": "data_parallel",
    "--dtype": "dtype",
    "--enforce-eager": "cuda_graphs",
    "--gpu-memory-utilization": "memory_fraction",
    "--kv-cache-dtype": "kv_cache_dtype",
    "--lora-modules": "lora",
    "--max-model-len": "max_model_len",
    "--max-num-batched-tokens": "batch_tokens",
    "--max-num-seqs": "max_sequences",
    "--pipeline-parallel-size": "pipeline_parallel",
    "-pp": "pipeline_parallel",
    "--quantization": "quantization",
    "-q": "quantization",
    "--tensor-parallel-size": "tensor_parallel",
    "-tp": "tensor_parallel",
    "--trust-remote-code": "trust_remote_code",
}
"""Flags that an option stands for. Said twice, one of the two would silently lose."""
VALUES: Mapping[str, frozenset[str]] = {
    "--quantization": frozenset({"int8", "int4", "nf4", "none"}),
    "-q": frozenset({"int8", "int4", "nf4", "none"}),
    "--dtype": frozenset({"int8", "int4", "fp8"}),
}
"""Values that are no values of vLLM's, though they are often written, and mean options.quantization."""
GONE_ENV: Mapping[str, str] = {
    "VLLM_GPU_MEM_FRACTION": "vLLM never read it: set options.memory_fraction",
    "VLLM_PORT": "it is a port for vLLM's inner traffic and breaks starts: leave it out",
    "VLLM_API_KEY": "moorage gives each start a key of its own; clients' keys are auth.keys",
    "VLLM_USE_V1": "there is only this engine by now: leave it out",
    "VLLM_ATTENTION_BACKEND": "set options.attention_backend",
}
INT8 = "int8_per_channel_weight_only"
FP8 = "fp8"
"""What vLLM makes of weights as it loads them; on the processor the first alone."""
PREQUANTIZED = frozenset({"awq", "gptq"})
TOOL_PARSERS: tuple[tuple[str, str], ...] = (
    ("<|python_tag|>", "llama3_json"),
    ("[TOOL_CALLS]", "mistral"),
    ("<｜tool▁calls▁begin｜>", "deepseek_v3"),
    ("<|tool▁calls▁begin|>", "deepseek_v3"),
    ("<function=", "qwen3_coder"),
    ("<tool_call>", "hermes"),
)
"""How a chat template writes calls of tools → who reads them back. The particular ones come first."""
LORAS_AT_ONCE = 8
"""Adapters in one step. Each takes a place for weights of LORA_RANK, whether it is used or not."""
LORAS_KEPT = 32
"""In the machine's memory, for adapters that come while it runs."""
LORA_RANK = 64
KV_BYTES = "--kv-cache-memory-bytes"
"""Before it there was a variable in whole GiB, which still wins where it is set."""
KV_DTYPES = {"f16": "float16", "bf16": "bfloat16", "fp8": "fp8", "q8_0": "fp8", "q4_0": "fp8"}


def check(spec: ModelSpec) -> None:
    """Refuse what is said twice, wrongly, or not for a user to say. Raises EngineError."""
    for name, value in spec.options.extra_args.items():
        flag = name if name.startswith("-") else f"--{name}"
        said = f"model {spec.name!r}: options.extra_args.{name}"
        if str(value) in VALUES.get(flag, ()):
            raise EngineError(f"{said} is {value!r}, which is no value of vLLM's: set options.quantization")
        if flag in OURS:
            raise EngineError(f"{said} is not for you to set: {OURS[flag]}")
        if flag in NEUTRAL:
            raise EngineError(f"{said} has a name that all engines share: set options.{NEUTRAL[flag]}")
    for name in spec.options.env:
        if name in GONE_ENV:
            raise EngineError(f"model {spec.name!r}: options.env.{name}: {GONE_ENV[name]}")


def command(
    order: LaunchOrder, installation: Installation, chosen: Fit, facts: ModelFacts, task: Task
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words behind the program's name, and lines of why. Raises EngineError."""
    arguments = Arguments(order.model, installation, GONE)
    why: list[str] = []
    _add_place(arguments, order, installation)
    _add_task(arguments, order.model, facts, task, why)
    _add_sizes(arguments, order, chosen)
    _add_numbers(arguments, order, task, why)
    _add_placement(arguments, order)
    _add_graphs(arguments, order, why)
    _add_lora(arguments, order, why)
    _add_rope(arguments, order.model, order.facts, installation)
    arguments.extra()
    return arguments.words(), tuple(why)


def unix_socket(installation: Installation) -> bool:
    """Whether this version listens on one; where it could not be asked, it is taken for a new one."""
    return installation.flags is None or "--uds" in installation.flags


def _add_place(arguments: Arguments, order: LaunchOrder, installation: Installation) -> None:
    if unix_socket(installation):
        arguments.add("--uds", order.socket, of="socket")
    else:
        arguments.add("--host", "127.0.0.1", of="socket")
        arguments.add("--port", order.port, of="port")
    arguments.add("--served-model-name", order.model.name, of="name")
    for flag in ("--disable-uvicorn-access-log", "--enable-prompt-tokens-details"):
        if arguments.has(flag) is not None:
            arguments.add(flag, of="start")
    if installation.flags is not None and "--disable-log-requests" in installation.flags:
        arguments.add("--disable-log-requests", of="start")
    arguments.add_if(order.model.options.trust_remote_code, "--trust-remote-code", of="trust_remote_code")


def _add_task(arguments: Arguments, spec: ModelSpec, facts: ModelFacts, task: Task, why: list[str]) -> None:
    if task == "generate":
        if facts.chat_template is None:
            why.append(
                "no chat template in the files: it completes texts, and is asked in messages only with "
                "options.extra_args.chat-template"
            )
        elif not any(name.removeprefix("--") == "tool-call-parser" for name in spec.options.extra_args):
            _add_tools(arguments, facts.chat_template, why)
        return
    if arguments.has("--runner", "--task") == "--task":
        arguments.add("--task", {"rerank": "score"}.get(task, task), of="task")
        return
    arguments.add("--runner", "pooling", of="task")
    if task != facts.task:
        arguments.add("--convert", "embed" if task == "embed" else "classify", of="task")


def _add_tools(arguments: Arguments, template: str, why: list[str]) -> None:
    parser = next((parser for mark, parser in TOOL_PARSERS if mark in template), None)
    if parser is None or arguments.has("--enable-auto-tool-choice") is None:
        return
    arguments.add("--enable-auto-tool-choice", of="start")
    arguments.add("--tool-call-parser", parser, of="start")
    why.append(f"calls of tools are read as {parser}: so its chat template writes them")


def _add_sizes(arguments: Arguments, order: LaunchOrder, chosen: Fit) -> None:
    arguments.add("--max-model-len", chosen.context, of="max_model_len")
    arguments.add("--max-num-seqs", chosen.sequences, of="max_sequences")
    arguments.add("--max-num-batched-tokens", chosen.batch_tokens, of="batch_tokens")
    if order.devices:
        arguments.add("--gpu-memory-utilization", order.model.options.memory_fraction, of="memory_fraction")
    elif chosen.kv_bytes is not None and arguments.has(KV_BYTES) is not None:
        arguments.add(KV_BYTES, chosen.kv_bytes, of="memory_fraction")


def _add_numbers(arguments: Arguments, order: LaunchOrder, task: Task, why: list[str]) -> None:
    options = order.model.options
    if options.dtype != "auto":
        arguments.add("--dtype", options.dtype, of="dtype")
    if options.quantization != "none":
        _add_quantization(arguments, order, why)
    if task == "generate" and options.kv_cache_dtype != "auto":
        _add_kv_dtype(arguments, order.model, why)
    if not options.prefix_caching and task == "generate":
        flag = arguments.has("--no-enable-prefix-caching")
        if flag is not None:
            arguments.add(flag, of="prefix_caching")
    flag = arguments.has("--attention-backend")
    if options.attention_backend is not None and flag is not None:
        arguments.add(flag, options.attention_backend, of="attention_backend")


def _add_quantization(arguments: Arguments, order: LaunchOrder, why: list[str]) -> None:
    spec, facts = order.model, order.facts
    wanted, found = spec.options.quantization, (facts.quantization or "").lower()
    if wanted in PREQUANTIZED:
        if wanted not in found:
            raise EngineError(
                f"model {spec.name!r}: options.quantization is {wanted}, which is a way files are made, and these are "
                f"{facts.quantization or 'not'}: take files made so, or options.quantization fp8 or int8"
            )
        why.append(f"{wanted}: as the files were made")
        return
    if any(word in found for word in ("awq", "gptq", "bit", "fp8", "compressed")):
        raise EngineError(
            f"model {spec.name!r}: options.quantization is {wanted}, but the files are {facts.quantization} already; "
            "leave it out, or take the files in 16 bit"
        )
    value = FP8 if wanted == FP8 and order.devices else INT8
    arguments.add("--quantization", value, of="quantization")
    nearest = "" if value.startswith(wanted) else f", the nearest to {wanted} that vLLM has here"
    why.append(f"{value}{nearest}: options.quantization")


def _add_kv_dtype(arguments: Arguments, spec: ModelSpec, why: list[str]) -> None:
    wanted = spec.options.kv_cache_dtype
    if wanted == "f32":
        why.append("KV cache as the model's own numbers: vLLM has no f32 for it")
        return
    value = KV_DTYPES[wanted]
    arguments.add("--kv-cache-dtype", value, of="kv_cache_dtype")
    if wanted.startswith("q"):
        why.append(f"KV cache in fp8, the nearest to {wanted} that vLLM has: options.kv_cache_dtype")


def _add_placement(arguments: Arguments, order: LaunchOrder) -> None:
    options = order.model.options
    for flag, value, of in (
        ("--tensor-parallel-size", options.tensor_parallel, "tensor_parallel"),
        ("--pipeline-parallel-size", options.pipeline_parallel, "pipeline_parallel"),
        ("--data-parallel-size", options.data_parallel, "data_parallel"),
    ):
        arguments.add_if(value > 1, flag, value, of=of)
    if options.cpu_offload is not None and order.devices:
        arguments.add("--cpu-offload-gb", round(options.cpu_offload / (1 << 30), 3), of="cpu_offload")


def _add_graphs(arguments: Arguments, order: LaunchOrder, why: list[str]) -> None:
    asked = {name.removeprefix("--") for name in order.model.options.extra_args}
    if not order.model.options.cuda_graphs:
        arguments.add("--enforce-eager", of="cuda_graphs")
    elif not order.devices and not asked & {"no-enforce-eager", "compilation-config", "optimization-level", "O"}:
        arguments.add("--enforce-eager", of="cuda_graphs")
        why.append("starts without compiling: on the processor that takes a minute or two, for which set "
                   "options.extra_args.no-enforce-eager")  # fmt: skip


def _add_lora(arguments: Arguments, order: LaunchOrder, why: list[str]) -> None:
    if not order.loras:
        return
    count = len(order.loras)
    arguments.add("--enable-lora", of="lora")
    arguments.add("--max-loras", min(count, LORAS_AT_ONCE), of="lora")
    arguments.add("--max-cpu-loras", max(count, LORAS_KEPT), of="lora")
    arguments.add("--max-lora-rank", LORA_RANK, of="lora")
    modules = [json.dumps({"name": name, "path": path}) for name, path in order.loras.items()]
    arguments.add("--lora-modules", *modules, of="lora")
    what = "1 LoRA adapter" if count == 1 else f"{count} LoRA adapters"
    why.append(f"{what}, of rank {LORA_RANK} at most; others can be loaded while it runs: options.lora")


def _add_rope(arguments: Arguments, spec: ModelSpec, facts: ModelFacts, installation: Installation) -> None:
    """What replaces the files' own parameters whole, so that it must hold all of them."""
    scaling, trained = spec.options.rope_scaling, facts.context_length
    if scaling is None:
        return
    rope: dict[str, Any] = {"rope_type": scaling.type, "factor": scaling.factor}
    if trained is not None and scaling.type != "linear":
        rope["original_max_position_embeddings"] = trained
    if installation.flags is not None and "--rope-scaling" in installation.flags:
        arguments.add("--rope-scaling", json.dumps(rope), of="rope_scaling")
        return
    if facts.rope_theta is None:
        raise EngineError(
            f"model {spec.name!r}: options.rope_scaling cannot be put to vLLM: the files do not name rope_theta, which "
            "its override would lose; write it into the model's config.json instead"
        )
    rope["rope_theta"] = facts.rope_theta
    overrides: dict[str, Any] = {"rope_parameters": rope}
    if scaling.type == "yarn" and trained is not None:
        # Of yarn alone it takes the length of the files for the stretched one.
        overrides["max_position_embeddings"] = round(trained * scaling.factor)
    arguments.add("--hf-overrides", json.dumps(overrides), of="rope_scaling")


def stretched(facts: ModelFacts, spec: ModelSpec) -> ModelFacts:
    """What the files say of the context, after options.rope_scaling."""
    scaling = spec.options.rope_scaling
    if scaling is None or facts.context_length is None:
        return facts
    return replace(facts, context_length=round(facts.context_length * scaling.factor))
