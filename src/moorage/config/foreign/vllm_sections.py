"""`vllm_config.yaml` of the unified service: vLLM's settings in the sections of its own configuration classes."""

from typing import Any

from moorage.config.foreign.converted import Converted, Translation
from moorage.config.foreign.rules import Rules, becomes, nothing, plain_key, same, understood
from moorage.config.foreign.vllm_flags import FLAGS, NAMING, NO_CORS, NO_TLS, SERVER, flags, level, model
from moorage.config.options import Path
from moorage.config.plain import at, is_section

TITLE = "a vllm_config.yaml"

SECTIONS = (
    *("model_config", "parallel_config", "scheduler_config", "device_config", "cache_config", "load_config"),
    *("lora_config", "decoding_config", "observability_config"),
)
WHOLE = ("speculative_config", "compilation_config", "kv_transfer_config", "structured_outputs_config")
"""Flags of vLLM that take such a section as it is."""
FIELDS = {
    "cache_dtype": "kv_cache_dtype",
    "policy": "scheduling_policy",
    "guided_decoding_backend": "structured_outputs_config.backend",
    "worker_use_ray": "",
    "delay_factor": "",
}
"""Fields of vLLM's classes that are not called like the flag that sets them; no flag for those that are gone."""

LOGGING: Rules = {
    "level": becomes("logging.level", "in lower case", level),
    "format": nothing("logging.format is auto, json or console; a pattern for lines has no place", "%(message)s"),
    "output": same("logging.output"),
    "file_path": same("logging.file_path"),
    "disable_log_requests": SERVER["disable_log_requests"],
    "disable_log_stats": FLAGS["disable_log_stats"],
    "max_log_len": SERVER["max_log_len"],
    "uvicorn_log_level": nothing("logging.level is one for all"),
}
TOP: Rules = {
    "server": SERVER,
    "engine": understood("its sections have notes of their own"),
    "logging": LOGGING,
}

_CORS = nothing(NO_CORS, [], False)
_TLS = nothing(NO_TLS, "", False)


def recognised(data: Any) -> bool:
    if not is_section(data) or not is_section(data.get("engine")):
        return False
    return any(name in (*SECTIONS, *WHOLE) or name == "model" for name in data["engine"])


def convert(data: Any) -> Converted:
    translation = Translation(TITLE, engine="vllm")
    base = translation.model(("engine",))
    for name, value in data.items():
        if name == "engine":
            translation.note("honoured", (name,), "its sections have notes of their own")
            _engine(translation, value, base)
        elif name == "server":
            translation.note("honoured", (name,), "its keys have notes of their own")
            _server(translation, translation.section(value, (name,)), base)
        else:
            translation.apply(TOP, {name: value}, (), [base])
    return translation.finish()


def _server(translation: Translation, data: dict[str, Any], base: Path) -> None:
    for name, value in data.items():
        plain = plain_key(name)
        prefixed = {"cors": _CORS, "ssl": _TLS}.get(plain.partition("_")[0])
        rules = {plain: prefixed} if prefixed is not None and plain not in SERVER else SERVER
        translation.apply(rules, {name: value}, ("server",), [base])


def _engine(translation: Translation, data: dict[str, Any], base: Path) -> None:
    """Flags may also stand in `engine` itself."""
    inside: Path = ("engine", "model_config") if is_section(data.get("model_config")) else ("engine",)
    named = {name: value for name, value in at({"engine": data}, inside).items() if plain_key(name) in NAMING}
    model(translation, named, inside, base)
    for name, value in data.items():
        key = ("engine", name)
        if name not in SECTIONS:
            _fields(translation, {name: value}, ("engine",), base)
            continue
        fields = translation.section(value, key)
        if is_section(value):
            translation.note("honoured", key, "its keys have notes of their own")
        _fields(translation, fields, key, base)


def _fields(translation: Translation, data: dict[str, Any], key: Path, base: Path) -> None:
    for name, value in data.items():
        flag = FIELDS.get(plain_key(name), plain_key(name))
        outer, _, inner = flag.partition(".")
        if flag in NAMING:
            continue
        if not flag:
            translation.leave((*key, name), value, "gone from vLLM, which sees to it by itself")
        elif inner:
            translation.pass_on((*key, name), {inner: value}, [base], outer)
        elif flag in FLAGS:
            translation.apply({plain_key(name): FLAGS[flag]}, {name: value}, key, [base])
        elif flag == plain_key(name):
            flags(translation, {name: value}, key, base)
        else:
            translation.pass_on((*key, name), value, [base], flag)
