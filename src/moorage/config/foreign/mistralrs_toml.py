"""mistral.rs's TOML, what `mistralrs from-config` runs: `command = "serve"`, settings of the server, `[[models]]`."""

from typing import Any

from moorage.config.foreign.converted import Converted, Translation
from moorage.config.foreign.mistralrs import (
    DEVICE_LAYERS,
    ISQ,
    NO_GGML,
    NO_IMAGES,
    NO_VOICE,
    NO_XLORA,
    WEIGHTS,
    gguf_source,
    loras,
    prefix_cache,
)
from moorage.config.foreign.precision import kv_cache_dtype
from moorage.config.foreign.rules import Left, Rules, becomes, nothing, same, understood
from moorage.config.foreign.vllm_flags import own_name, sequences
from moorage.config.options import Path
from moorage.config.plain import is_list, is_section
from moorage.config.units import Unfit

TITLE = "mistral.rs's TOML"

_AGENT = "Moorage runs no tools and no code for a model"
_TASKS = {"auto": "", "text": "generate", "multimodal": "generate", "vision": "generate", "embedding": "embed"}
_LEFT_OUT = {"diffusion": NO_IMAGES, "speech": NO_VOICE}


def _pool(value: Any) -> Any:
    return Left(
        "says how large the KV cache of all calls is; options.max_model_len bounds one call, memory_fraction all"
    )


def _cpu(value: Any) -> Any:
    if not isinstance(value, bool):
        raise Unfit(value, "true or false")
    return [] if value else Left("cards are taken where there are any")


GLOBAL: Rules = {
    "seed": nothing("a call's own seed decides"),
    "log": nothing("Moorage writes no prompts and replies into logs"),
    "token_source": nothing("a hub's token is the variable HF_TOKEN, or what `hf auth login` saved", "cache"),
}
RUNTIME: Rules = {
    "max_seqs": becomes("options.max_sequences", "of every model", sequences),
    "no_kv_cache": nothing("no engine here runs without one", False),
    "prefix_cache_n": becomes("options.prefix_caching", "0 is off", prefix_cache),
    "chat_template": WEIGHTS["chat_template"],
    "jinja_explicit": WEIGHTS["jinja_explicit"],
    "matformer_config_path": WEIGHTS["matformer_config_path"],
    "matformer_slice_name": WEIGHTS["matformer_slice_name"],
    "mtp_model": nothing("drafting has no name here; options.extra_args of the engine that has it"),
    "mtp_n_predict": nothing("drafting has no name here; options.extra_args of the engine that has it"),
    "mcp_config": nothing(_AGENT),
    **{name: nothing(_AGENT, False) for name in ("agent", "enable_search", "enable_code_execution", "enable_shell")},
    **{
        name: nothing(_AGENT)
        for name in (
            *("search_embedding_model", "code_exec_python", "code_exec_timeout", "code_exec_workdir", "shell_path"),
            *("shell_timeout", "shell_workdir", "skills_dir", "agent_permission", "code_exec_permission"),
        )
    },
}
SERVER: Rules = {
    "host": becomes("server.host", "mistral.rs's own default is every interface, Moorage's is loopback"),
    "port": becomes("server.port"),
    "mcp_port": nothing("MCP is not served in this version"),
    "mcp_config": nothing(_AGENT),
    "ui": nothing("a page to chat is not served in this version", False),
    "serve_ip": becomes("server.host"),
}
PAGED: Rules = {
    "mode": nothing("engines here have no other KV cache", "auto", "on"),
    "context_len": becomes("options.max_model_len", "only told: it is the size of the whole pool", _pool),
    "memory_mb": nothing("write options.memory_fraction, the share of the card from 0 to 1"),
    "memory_fraction": same("options.memory_fraction", "where there is one model"),
    "block_size": nothing("the engine's own affair"),
    "cache_type": becomes("options.kv_cache_dtype", "of every model", kv_cache_dtype),
}
_ONE_POOL = nothing(
    "is the same for each of several models there, which together are more than a card has; write each model's own "
    "options.memory_fraction"
)
FORMAT: Rules = {
    "format": understood("read from the files"),
    "quantized_file": becomes("source", "as ORG/NAME:FILE, or a path"),
    "tok_model_id": understood("a GGUF file carries its tokenizer"),
    "gqa": WEIGHTS["gqa"],
}
ADAPTER: Rules = {
    "lora": becomes("options.lora", "a model of its own under its alias"),
    "enable_lora": understood("follows from options.lora"),
    "legacy_lora": becomes("options.lora", "a model of its own under that name"),
    "legacy_lora_order": nothing("adapters are models of their own here, in no order"),
    "lora_max_adapters": nothing("as many as options.lora names"),
    "lora_max_rank": nothing("read from the adapters where the engine needs it"),
    "lora_max_bytes": nothing("adapters are counted with the model's memory"),
    "xlora": nothing(NO_XLORA),
    "xlora_order": nothing(NO_XLORA),
    "tgt_non_granular_index": nothing(NO_XLORA),
}
QUANTIZATION: Rules = {
    "in_situ_quant": ISQ,
    "isq": ISQ,
    "quant": ISQ,
    **{name: WEIGHTS[name] for name in ("from_uqff", "isq_organization", "imatrix", "calibration_file")},
}
DEVICE: Rules = {
    "cpu": becomes("options.devices", "true is an empty list", _cpu),
    "device_layers": DEVICE_LAYERS,
    **{name: WEIGHTS[name] for name in ("topology", "hf_cache", "max_seq_len", "max_batch_size")},
}
IMAGES: Rules = {name: WEIGHTS[name] for name in ("max_edge", "max_num_images", "max_image_length")}
MODEL: Rules = {
    "kind": becomes("task", "text is generate, embedding is embed"),
    "model_id": becomes("source", "and the model's name"),
    **{name: WEIGHTS[name] for name in ("tokenizer", "arch", "dtype", "chat_template", "jinja_explicit")},
    **{name: WEIGHTS[name] for name in ("matformer_config_path", "matformer_slice_name")},
    "format": FORMAT,
    "adapter": ADAPTER,
    "quantization": QUANTIZATION,
    "device": DEVICE,
    "multimodal": IMAGES,
    "vision": IMAGES,
}
TOP: Rules = {
    "command": understood("serve is what Moorage does"),
    "default_model_id": becomes("aliases", "the model answers to `default` too"),
    "enable_thinking": nothing("a call says so itself, by chat_template_kwargs", False),
    "thinking": nothing("a call says so itself, by chat_template_kwargs", False),
    "adapter": nothing("a call names the adapter as its model"),
    "global": GLOBAL,
    "runtime": RUNTIME,
    "server": SERVER,
    "paged_attn": PAGED,
    "sandbox": nothing(_AGENT),
    "models": MODEL,
}


def recognised(data: Any) -> bool:
    return is_section(data) and data.get("command") in ("serve", "run") and is_list(data.get("models"))


def convert(data: Any) -> Converted:
    translation = Translation(TITLE)
    models = data.get("models")
    bases: list[Path] = []
    if is_list(models) and models:
        translation.note("honoured", ("models",), "its models have notes of their own")
        translation.tree["models"] = {"local": []}
        found = [_model(translation, ("models", position), model) for position, model in enumerate(models)]
        bases = [base for base in found if base is not None]
        if not bases and not translation.refused:
            translation.refuse(("models",), "none of them can be served here")
    else:
        translation.refuse(("models",), "is required: [[models]] with model_id")
    for name, value in data.items():
        if name == "default_model_id":
            _default(translation, value, bases)
        elif name == "command":
            _command(translation, value)
        elif name == "paged_attn" and len(bases) > 1:
            translation.apply({**TOP, "paged_attn": {**PAGED, "memory_fraction": _ONE_POOL}}, {name: value}, (), bases)
        elif name != "models":
            translation.apply(TOP, {name: value}, (), bases)
    return translation.finish()


def _command(translation: Translation, value: Any) -> None:
    if value == "serve":
        translation.note("honoured", ("command",), "what Moorage does")
    elif value == "run":
        translation.note(
            "warned", ("command",), "`run` chats in the terminal; here it is served: `moorage chat` talks to it"
        )
    else:
        translation.refuse(("command",), "should be serve")


def _model(translation: Translation, key: Path, data: Any) -> Path | None:
    section = translation.section(data, key)
    kind = str(section.get("kind", "auto"))
    if kind in _LEFT_OUT:
        translation.leave(key, data, _LEFT_OUT[kind])
        return None
    form = section.get("format")
    inner = form if is_section(form) else {}
    adapter = section.get("adapter")
    if inner.get("format") == "ggml" or (is_section(adapter) and adapter.get("xlora")):
        translation.leave(key, data, NO_GGML if inner.get("format") == "ggml" else NO_XLORA)
        return None
    base = translation.model(key)
    _identity(translation, section, inner, key, base)
    if "kind" in section:
        if kind not in _TASKS:
            translation.refuse((*key, "kind"), f"should be one of {', '.join((*_TASKS, *_LEFT_OUT))}")
        elif _TASKS[kind]:
            translation.put((*base, "task"), _TASKS[kind], (*key, "kind"))
            translation.note("mapped", (*key, "kind"), "", (*base, "task"))
        else:
            translation.note("honoured", (*key, "kind"), "read from the files")
    done = ("model_id", "kind", "adapter", "format")
    translation.apply(MODEL, {name: item for name, item in section.items() if name not in done}, key, [base])
    if is_section(adapter):
        _adapter(translation, adapter, (*key, "adapter"), base)
    return base


def _identity(translation: Translation, data: dict[str, Any], form: dict[str, Any], key: Path, base: Path) -> None:
    identity = data.get("model_id")
    if not isinstance(identity, str) or not identity:
        translation.refuse((*key, "model_id"), "is required: ORG/NAME or a path")
        return
    file_name = form.get("quantized_file")
    source = gguf_source(identity, file_name) if file_name else identity
    translation.put((*base, "source"), source, (*key, "model_id"))
    translation.put((*base, "name"), own_name(identity), (*key, "model_id"))
    translation.note("mapped", (*key, "model_id"), "and the model's name", (*base, "source"))
    if form:
        translation.note("honoured", (*key, "format"), "its keys have notes of their own")
    for name, value in form.items():
        if name == "quantized_file":
            translation.note("mapped", (*key, "format", name), "as ORG/NAME:FILE, or a path", (*base, "source"))
        else:
            translation.apply(FORMAT, {name: value}, (*key, "format"), [base])


def _adapter(translation: Translation, data: dict[str, Any], key: Path, base: Path) -> None:
    translation.note("honoured", key, "its keys have notes of their own")
    for name, value in data.items():
        if name in ("lora", "legacy_lora") and not value:
            translation.note("honoured", (*key, name), "empty, as if left out")
        elif name == "legacy_lora":
            loras(translation, value, (*key, name), base)
        elif name == "lora":
            _loras(translation, value, (*key, name), base)
        else:
            translation.apply(ADAPTER, {name: value}, key, [base])


def _loras(translation: Translation, value: Any, key: Path, base: Path) -> None:
    """`[{alias, source, revision?}]`, or `alias=source`."""
    found: dict[str, str] = {}
    for position, item in enumerate(value if is_list(value) else [value]):
        if is_section(item) and isinstance(item.get("alias"), str) and isinstance(item.get("source"), str):
            revision = f"@{item['revision']}" if item.get("revision") else ""
            found[item["alias"]] = f"{item['source']}{revision}"
            for name in item:
                translation.note("mapped", (*key, position, name), "", (*base, "options", "lora"))
        elif isinstance(item, str) and "=" in item:
            alias, _, source = item.partition("=")
            found[alias] = source
        else:
            translation.refuse((*key, position), "should be alias=source, or a table with alias and source")
    translation.put((*base, "options", "lora"), found, key)
    translation.note("mapped", key, "models of their own under their aliases", (*base, "options", "lora"))


def _default(translation: Translation, value: Any, bases: list[Path]) -> None:
    key: Path = ("default_model_id",)
    models = translation.tree.get("models", {}).get("local", [])
    for base, model in zip(bases, models, strict=True):
        if model.get("name") == own_name(str(value)):
            translation.put((*base, "aliases"), ["default"], key)
            translation.note("mapped", key, "the model answers to `default` too", (*base, "aliases"))
            return
    names = ", ".join(str(model.get("name")) for model in models)
    translation.refuse(key, f"is the model_id of none of the models served: {names or 'none'}")
