"""`model-deploy-config.yaml`: models, the runtime they share, monitoring."""

import re
from typing import Any

from moorage.config.foreign.converted import Converted, Translation
from moorage.config.foreign.precision import dtype, offload, quantization
from moorage.config.foreign.rules import (
    Left,
    Rule,
    Rules,
    Understood,
    becomes,
    nothing,
    same,
    understood,
)
from moorage.config.foreign.vllm_flags import level, rope_scaling, sequences
from moorage.config.options import Path
from moorage.config.plain import is_list, is_section
from moorage.config.units import Unfit, size_bytes

TITLE = "a model-deploy-config.yaml"

# options.attention_backend takes an engine's own word, and which engine it will be is not known here.
_OWN_WORD = "options.attention_backend names one in the engine's own words"
_FLASH = ("flash_attention", "flash", "flash_attn", "flash_attention_2", "flash_attention_3")
_OTHERS = ("math", "sdpa", "mem_efficient", "efficient", "efficient_attention", "flashinfer", "triton", "xformers")
_CARD = re.compile(r"(?:cuda:|gpu:)?(\d+)")


def _flash(value: Any) -> Any:
    if not isinstance(value, bool):
        raise Unfit(value, "true or false")
    return Understood(f"engines take it where they can; {_OWN_WORD}") if value else Left(_OWN_WORD)


def _backend(value: Any) -> Any:
    word = value.lower() if isinstance(value, str) else ""
    if word in ("auto", "default", *_FLASH):
        return _flash(True)
    if word not in _OTHERS:
        raise Unfit(value, f"one of auto, {_FLASH[0]}, {', '.join(_OTHERS)}")
    return Left(f"engines take the fastest they have; {_OWN_WORD}")


def _half(value: Any) -> Any:
    if not isinstance(value, bool):
        raise Unfit(value, "true or false")
    return "f16" if value else Understood("the KV cache is as the computation is")


MODEL: Rules = {
    "name": same("name"),
    "provider": understood("describes the model, decides nothing"),
    "version": understood("describes the model, decides nothing"),
    "size": understood("read from the files"),
    "model_path": becomes("source"),
    "quantization": same("options.quantization", "", quantization),
    "tensor_parallel": same("options.tensor_parallel"),
    "max_batch_size": becomes("options.max_sequences", "", sequences),
    "max_input_length": becomes("options.max_model_len", "together with max_output_length"),
    "max_output_length": becomes("max_output_tokens", "and part of options.max_model_len"),
    "use_flash_attention": Rule("honoured", why=f"engines take it where they can; {_OWN_WORD}", read=_flash),
    "runtime_options": {
        "kv_cache_fp16": becomes("options.kv_cache_dtype", "", _half),
        "trust_remote_code": same("options.trust_remote_code"),
        "cpu_offload": same("options.cpu_offload", "a size", offload),
    },
    "advanced_options": {
        "kernel_injection": nothing("was DeepSpeed's; engines bring kernels of their own", False),
        "sequence_parallelism": nothing("no engine takes it as an option; tensor_parallel shares the work", False),
        "paged_attention": nothing("engines have no other KV cache any more", True),
        "sdp_backend": Rule("honoured", why=f"flash_attention is taken where it can be; {_OWN_WORD}", read=_backend),
        "rope_scaling": same("options.rope_scaling", "", rope_scaling),
    },
}
RUNTIME: Rules = {
    "device_map": nothing(
        "an engine puts each layer on a card by itself; options.devices, tensor_parallel and pipeline_parallel decide",
        "auto",
    ),
    "compute_precision": becomes("options.dtype", "of every model", dtype),
    "enable_cuda_graph": becomes("options.cuda_graphs", "of every model"),
    "max_memory": becomes("options.devices", "its cards; of the amounts, see the warning"),
    "cache_dir": same("cache_dir"),
    "log_level": becomes("logging.level", "", level),
}
MONITORING: Rules = {
    "enabled": becomes("monitoring.metrics.enabled"),
    "metrics_port": nothing("metrics are at /metrics of server.port in this version"),
    "export_gpu_metrics": nothing("metrics of cards are not exported in this version", False),
    "profiling": nothing("the engine's profiler is started by its own flags: options.extra_args", False),
}
TOP: Rules = {"models": MODEL, "runtime": RUNTIME, "monitoring": MONITORING}

_TELLING = frozenset({"model_path", *MODEL}) - {"name", "quantization", "size", "version"}


def recognised(data: Any) -> bool:
    if not is_section(data) or "server" in data:
        return False
    models = data.get("models")
    entries = [one for one in models if is_section(one)] if is_list(models) else []
    return any(_TELLING & set(one) and "source" not in one for one in entries) or (
        is_section(data.get("runtime")) and bool(set(RUNTIME) & set(data["runtime"]))
    )


def convert(data: Any) -> Converted:
    translation = Translation(TITLE, engine="vllm")
    models = data.get("models")
    bases: list[Path] = []
    if is_list(models) and models:
        translation.note("honoured", ("models",), "its models have notes of their own")
        bases = [_model(translation, ("models", position), model) for position, model in enumerate(models)]
    else:
        translation.refuse(("models",), "should be a list of models: `- name: …` with `model_path: …`")
    for name, value in data.items():
        if name in ("runtime", "monitoring"):
            section = translation.section(value, (name,))
            if is_section(value):
                translation.note("honoured", (name,), "its keys have notes of their own")
            rest = {key: item for key, item in section.items() if key != "max_memory"}
            translation.apply(RUNTIME if name == "runtime" else MONITORING, rest, (name,), bases)
            if "max_memory" in section:
                _memory(translation, section["max_memory"], (name, "max_memory"), bases)
        elif name != "models":
            translation.unknown((name,), value, TOP)
    return translation.finish()


def _model(translation: Translation, key: Path, data: Any) -> Path:
    base = translation.model(key)
    section = translation.section(data, key)
    for required in ("name", "model_path"):
        if section.get(required) is None:
            translation.refuse((*key, required), "is required")
    lengths = ("max_input_length", "max_output_length")
    translation.apply(MODEL, {name: item for name, item in section.items() if name not in lengths}, key, [base])
    _length(translation, {name: section[name] for name in lengths if name in section}, key, base)
    return base


def _length(translation: Translation, lengths: dict[str, Any], key: Path, base: Path) -> None:
    """Prompt and reply share one context here."""
    given = {name: value for name, value in lengths.items() if value is not None}
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int):
            translation.refuse((*key, name), "should be a whole number of tokens")
            return
    longest = (*base, "options", "max_model_len")
    if len(given) == 2:
        translation.put(longest, sum(given.values()), (*key, "max_input_length"))
        why = "max_input_length + max_output_length"
        translation.note("mapped", (*key, "max_input_length"), why, longest)
    elif "max_input_length" in given:
        translation.note(
            "warned", (*key, "max_input_length"), "max_output_length is needed too: their sum is the context"
        )
    if "max_output_length" in given:
        bound = (*base, "max_output_tokens")
        translation.put(bound, given["max_output_length"], (*key, "max_output_length"))
        translation.note("mapped", (*key, "max_output_length"), "and part of options.max_model_len", bound)
    for name in set(lengths) - set(given):
        translation.note("honoured", (*key, name), "empty, as if left out")


def _memory(translation: Translation, value: Any, key: Path, bases: list[Path]) -> None:
    """Amounts per card. Moorage takes a share, which is known only with the card."""
    section = translation.section(value, key)
    cards: list[str] = []
    for name, amount in section.items():
        found = _CARD.fullmatch(str(name))
        try:
            size = size_bytes(amount)
        except Unfit as error:
            translation.refuse((*key, name), f"{amount!r} will not do; it should be {error.expected}")
            continue
        if found is None:
            why = "only cards have a bound; a model takes of the machine's memory what it needs"
            translation.note("warned", (*key, name), why)
            continue
        cards.append(found[1])
        why = f"write options.memory_fraction, the share of the card: {amount} is {_shares(size)}"
        translation.note("warned", (*key, name), why)
    if cards:
        for base in bases:
            translation.put((*base, "options", "devices"), cards, key)
        translation.note("mapped", key, "its cards", (*bases[0], "options", "devices") if bases else None)
    else:
        translation.note("honoured", key, "names no card")


def _shares(size: int) -> str:
    """An amount as shares of cards there are."""
    shares = [f"{size / (total * 1024**3):.2f} of {total} GB" for total in (16, 24, 48, 80) if size <= total * 1024**3]
    return ", ".join(shares) or "more than a card has"
