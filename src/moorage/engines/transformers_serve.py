"""The adapter of `transformers serve`, Hugging Face's own server: every model they have, one call at a time."""

import json
from collections.abc import Mapping

from moorage.core.facts import ModelFacts
from moorage.core.memory import Use
from moorage.core.ports import Diagnosis, Launch, LaunchOrder, Probe, Support
from moorage.core.text import human
from moorage.engines import embedded, program
from moorage.engines.arguments import Arguments
from moorage.engines.choose import installed
from moorage.engines.footprints import least_bytes, need
from moorage.engines.options import unused
from moorage.engines.signatures import diagnose
from moorage.engines.tasks import task_of
from moorage.engines.transformers_serve_signatures import SIGNATURES
from moorage.errors import EngineError
from moorage.wire.control import Load, Machine, Manners
from moorage.wire.names import Task

LIBRARY = "transformers"
RANK = 1
"""For models that nothing else runs."""
RANK_CUDA = 8
TASKS: tuple[Task, ...] = ("generate",)
HONOURED = frozenset({"threads", "dtype", "attention_backend", "trust_remote_code", "quantization"})
CONTEXT = 4096
"""Tokens its memory is reckoned for where the files say more: it keeps what a call needs, and no more."""
GONE: Mapping[str, str] = {
    "--force-model": "say it in the model's source",
    "--enable-kv-cache": "it always keeps one",
}
OURS: Mapping[str, str] = {
    "--host": "engines listen where moorage tells them, and nowhere else",
    "--port": "engines listen where moorage tells them, and nowhere else",
    "--enable-cors": "browsers speak to the gateway",
}
"""Flags that would undo what the adapter sees to."""
QUANTIZATIONS = {"int8": "bnb-8bit", "int4": "bnb-4bit", "nf4": "bnb-4bit"}
NOT_SERVED = (
    *("/v1/embeddings", "/v2/embed", "/rerank", "/v1/rerank", "/v2/rerank", "/score", "/v1/score"),
    *("/classify", "/pooling", "/tokenize", "/detokenize"),
)
BATCHED = "continuous-batching"
SEQUENCES_BATCHED = 16
ENVIRONMENT: Mapping[str, str] = {
    "PYTHONUNBUFFERED": "1",
    "PYTHONPATH": "",
    "PYTHONNOUSERSITE": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


class TransformersServe:
    name = "transformers"
    proven = "5.19.0"
    metrics_path = ""
    cancels_unary = False
    echoes_model = False

    def supports(self, facts: ModelFacts, machine: Machine) -> Support:
        if facts.format != "safetensors":
            return Support(ok=False, why=f"it runs safetensors, this one is {facts.format}")
        if facts.task not in TASKS:
            return Support(ok=False, why=f"it has no routes for a model to {facts.task}")
        found = installed(machine, self.name)
        if found is None:
            return program.absent(self.name)
        cards = () if found.variant == "cpu" else program.cards(machine)
        if refusal := embedded.no_room(least_bytes(LIBRARY, facts), program.on_devices(machine, cards, None)):
            return refusal
        words = f"runs {facts.architecture} models, one call at a time"
        if cards:
            why = f"{words}, on the accelerator if its PyTorch was made for one"
            return Support(ok=True, why=why, rank=RANK_CUDA, accelerator=program.CUDA)
        return Support(ok=True, why=f"{words}, on the CPU", rank=RANK)

    def launch(self, order: LaunchOrder) -> Launch:
        spec, facts, options = order.model, order.facts, order.model.options
        task_of(spec, facts, self.name, TASKS)
        found = program.installation(order, self.name)
        _refuse_ours(order)
        arguments = Arguments(spec, found, GONE)
        arguments.add("--host", "127.0.0.1", of="socket")
        arguments.add("--port", order.port, of="port")
        arguments.add("--device", "auto" if order.devices else "cpu", of="devices")
        if options.dtype != "auto":
            arguments.add("--dtype", options.dtype, of="dtype")
        arguments.add("--attn-implementation", options.attention_backend, of="attention_backend")
        arguments.add_if(options.trust_remote_code, "--trust-remote-code", of="trust_remote_code")
        arguments.add("--quantization", _quantization(order), of="quantization")
        arguments.extra()
        batched = options.extra_args.get(BATCHED) is True
        capacity = (options.max_sequences or SEQUENCES_BATCHED) if batched else 1
        context = min(facts.context_length or CONTEXT, CONTEXT)
        use = Use(context=context, sequences=capacity, step_tokens=context, on_device=bool(order.devices))
        memory = need(LIBRARY, facts, use)
        threads = options.threads or order.machine.cores
        honoured = HONOURED | ({"max_sequences"} if batched else frozenset[str]())
        return Launch(
            argv=(*found.command, facts.path, *arguments.words()),
            address=f"http://127.0.0.1:{order.port}",
            token="",
            # It was started for this path, and answers to no other name.
            served_name=facts.path,
            capacity=capacity,
            max_model_len=facts.context_length,
            task="generate",
            env={**found.env, **ENVIRONMENT, "OMP_NUM_THREADS": str(threads)},
            memory=memory,
            manners=Manners(
                renames={"max_completion_tokens": "max_tokens"},
                says_done=False,
                paths=dict.fromkeys(NOT_SERVED, ""),
                forces_tools=False,
            ),
            why=(
                f"{capacity} calls at once: options.extra_args.{BATCHED}"
                if batched
                else f"one call at a time: it batches none without options.extra_args.{BATCHED}",
                f"{threads} threads: {'options.threads' if options.threads else 'one for each core'}",
                f"about {human(memory.total_bytes)} of memory for calls of {context} tokens",
                *unused(spec, self.name, honoured),
            ),
        )

    def probe(self, launch: Launch) -> Probe:
        body = {"model": launch.served_name, "prompt": "ready", "max_tokens": 1}
        return Probe("POST", "/v1/completions", json.dumps(body).encode())

    def observe(self, metrics: Mapping[str, float]) -> Load:
        return Load()

    def diagnose(self, log: str) -> Diagnosis | None:
        return diagnose(log, SIGNATURES)


def _refuse_ours(order: LaunchOrder) -> None:
    for name in order.model.options.extra_args:
        flag = name if name.startswith("-") else f"--{name}"
        if flag in OURS:
            raise EngineError(
                f"model {order.model.name!r}: options.extra_args.{name} is not for you to set: {OURS[flag]}"
            )


def _quantization(order: LaunchOrder) -> str | None:
    wanted, found = order.model.options.quantization, (order.facts.quantization or "").lower()
    if wanted == "none" or wanted in found:
        return None
    if wanted not in QUANTIZATIONS:
        raise EngineError(
            f"model {order.model.name!r}: options.quantization is {wanted}, and transformers computes int8, int4 and "
            "nf4 (with bitsandbytes); of files that are made so leave it out"
        )
    return QUANTIZATIONS[wanted]
