"""vLLM's own `--config` YAML: the flags of `vllm serve` without their dashes. One model.

What has a neutral name gets it, so that any engine may run the model; what only vLLM has is passed on, and then the
engine is vLLM.
"""

import re
from typing import Any

from moorage.config.foreign.converted import Converted, Translation
from moorage.config.foreign.precision import dtype, kv_cache_dtype, offload, vllm_quantization
from moorage.config.foreign.rules import (
    Left,
    Nearest,
    Rule,
    Rules,
    Understood,
    Verbatim,
    becomes,
    nothing,
    plain_key,
    same,
    understood,
)
from moorage.config.foreign.sources import is_repository
from moorage.config.options import Path
from moorage.config.plain import is_list, is_section
from moorage.config.units import Unfit

TITLE = "vLLM's --config file"
MOST_SEQUENCES = 256

_UNITS = {"k": 1000, "m": 1000**2, "K": 1024, "M": 1024**2}
_TASKS = {
    **dict.fromkeys(("generate", "chat", "completion"), "generate"),
    **dict.fromkeys(("embed", "embedding", "embeddings"), "embed"),
    **dict.fromkeys(("score", "rerank"), "rerank"),
    **dict.fromkeys(("classify", "classification"), "classify"),
    **dict.fromkeys(("transcribe", "transcription"), "transcribe"),
}
NO_TLS = "a proxy in front of Moorage does TLS in this version"
NO_CORS = "browsers of other origins are not served in this version; a proxy in front can"


def tokens(value: Any) -> Any:
    """A number of tokens, `32k` and `32K` included, as vLLM counts those; auto and -1 for what fits."""
    if value in ("auto", -1):
        return Understood("chosen so that it fits")
    if isinstance(value, str) and value[-1:] in _UNITS and value[:-1].replace(".", "", 1).isdigit():
        return int(float(value[:-1]) * _UNITS[value[-1]])
    return value


def sequences(value: Any) -> Any:
    """options.max_sequences."""
    if isinstance(value, int) and not isinstance(value, bool) and value > MOST_SEQUENCES:
        return Nearest(MOST_SEQUENCES, f"an engine of Moorage works on at most {MOST_SEQUENCES} calls at once")
    return value


def task(value: Any) -> Any:
    """`task` of a model, which vLLM had as --task once."""
    if value == "auto":
        return Understood("read from the files")
    if isinstance(value, str) and value in _TASKS:
        return _TASKS[value]
    if value == "reward":
        return Left("reward models have no surface here")
    raise Unfit(value, "generate, embed, rerank, classify or transcribe")


def devices(value: Any) -> Any:
    """options.devices: `0`, `"0,1"`, `cuda:0`, `[0, 1]`, `cpu`."""
    if isinstance(value, str):
        names = [part.strip().lower().removeprefix("cuda:").removeprefix("gpu:") for part in value.split(",")]
        if names == ["cpu"]:
            return []
        if names in (["cuda"], ["gpu"], ["auto"]):
            return Understood("the cards are chosen by what is free; options.devices names them")
        return [part if part.isdigit() else whole.strip() for part, whole in zip(names, value.split(","), strict=True)]
    return [value] if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else value


def _flag(value: Any) -> bool:
    words = {"true": True, "false": False}
    found = words.get(value.lower()) if isinstance(value, str) else value
    if not isinstance(found, bool):
        raise Unfit(value, "true or false")
    return found


def inverted(value: Any) -> bool:
    return not _flag(value)


def _adapters(value: Any) -> Any:
    """options.lora of `name=path`, `{name, path}`, or a list of them."""
    items = value if is_list(value) else [value]
    found: dict[str, Any] = {}
    for item in items:
        if isinstance(item, str) and "=" in item and not item.lstrip().startswith("{"):
            name, _, path = item.partition("=")
            found[name.strip()] = path.strip()
        elif is_section(item) and isinstance(item.get("name"), str) and isinstance(item.get("path"), str):
            found[item["name"]] = item["path"]
        else:
            raise Unfit(item, "name=path, or a section with name and path")
    return found


def _overrides(value: Any) -> Any:
    """options.rope_scaling, where hf-overrides says nothing else."""
    if is_section(value) and set(value) <= {"rope_scaling", "rope_parameters"} and len(value) == 1:
        inner = next(iter(value.values()))
        found = rope_scaling(inner) if is_section(inner) else None
        return found if is_section(found) else Verbatim()
    return Verbatim()


def rope_scaling(value: Any) -> Any:
    """options.rope_scaling of `{type or rope_type, factor}`."""
    if not is_section(value):
        raise Unfit(value, "a section with type and factor")
    kind = value.get("type", value.get("rope_type"))
    left = sorted(set(value) - {"type", "rope_type", "factor", "original_max_position_embeddings"})
    if kind not in ("linear", "dynamic", "yarn") or left:
        what = f"{', '.join(left)} of it" if left else f"the type {kind!r}"
        return Left(f"{what} has no name here (linear, dynamic and yarn with a factor have); vLLM takes --hf-overrides")
    return {name: item for name, item in (("type", kind), ("factor", value.get("factor"))) if item is not None}


def _keys(value: Any) -> Any:
    return [value] if isinstance(value, (str, int)) else value


def level(value: Any) -> Any:
    """logging.level."""
    words = {"trace": "debug", "warn": "warning", "critical": "error", "fatal": "error"}
    if not isinstance(value, str) or "$" in value:
        return value
    return words.get(value.lower(), value.lower())


ENGINE: Rules = {
    "dtype": becomes("options.dtype", "", dtype),
    "max_model_len": same("options.max_model_len", "32k is 32,000 and 32K 32,768", tokens),
    "quantization": becomes("options.quantization", "the nearest of ours", vllm_quantization),
    "kv_cache_dtype": becomes("options.kv_cache_dtype", "", kv_cache_dtype),
    "gpu_memory_utilization": becomes("options.memory_fraction"),
    "device_memory_utilization": becomes("options.memory_fraction"),
    "tensor_parallel_size": becomes("options.tensor_parallel"),
    "pipeline_parallel_size": becomes("options.pipeline_parallel"),
    "data_parallel_size": becomes("options.data_parallel"),
    "max_num_seqs": becomes("options.max_sequences", f"{MOST_SEQUENCES} at most", sequences),
    "max_num_batched_tokens": becomes("options.batch_tokens", "", tokens),
    "attention_backend": same("options.attention_backend"),
    "enforce_eager": becomes("options.cuda_graphs", "the other way round", inverted),
    "enable_prefix_caching": becomes("options.prefix_caching"),
    "no_enable_prefix_caching": becomes("options.prefix_caching", "the other way round", inverted),
    "cpu_offload_gb": becomes("options.cpu_offload", "in GiB", offload),
    "trust_remote_code": same("options.trust_remote_code"),
    "lora_modules": becomes("options.lora", "", _adapters),
    "enable_lora": understood("follows from options.lora"),
    "hf_overrides": becomes("options.rope_scaling", "where it holds nothing but that; else passed to vLLM", _overrides),
    "rope_scaling": becomes("options.rope_scaling", "vLLM has it no more but in --hf-overrides", rope_scaling),
    "cuda_device": becomes("options.devices", "", devices),
    "device_ids": becomes("options.devices", "", devices),
    "device": becomes("options.devices", "vLLM has no --device any more; cpu is an empty list", devices),
    "quantize": becomes("options.quantization", "vLLM never had --quantize", vllm_quantization),
    "swap_space": nothing(
        "vLLM has no swap space any more: calls that do not fit are computed again. options.cpu_offload keeps weights "
        "in the machine's memory",
        0,
    ),
    "max_gpu_memory": nothing(
        "no version of vLLM had it; write options.memory_fraction, the share of the card from 0 to 1"
    ),
    "num_lookahead_slots": nothing("gone from vLLM; options.extra_args speculative-config has its successor", 0),
    "use_v2_block_manager": nothing("gone from vLLM, whose only block manager it became"),
    "enable_server_load_tracking": understood("Moorage asks for it where it needs it"),
    "disable_log_stats": nothing("Moorage reads these figures to route by load", False),
    "distributed_executor_backend": nothing("chosen by where the replica runs", "mp", "uni"),
    "enable_chunked_prefill": becomes("options.extra_args", "true is what happens anyway", lambda v: _unless(v, True)),
    "seed": becomes("options.extra_args", "0 is what happens anyway", lambda v: _unless(v, 0)),
    "block_size": becomes("options.extra_args", "16 is what happens anyway", lambda v: _unless(v, 16)),
    "load_format": becomes("options.extra_args", "auto is what happens anyway", lambda v: _unless(v, "auto")),
    "tokenizer_mode": becomes("options.extra_args", "auto is what happens anyway", lambda v: _unless(v, "auto")),
}
"""What one model's engine is told. Also taken in a model of models.json."""

SERVER: Rules = {
    "host": becomes("server.host", "vLLM's own default is every interface, Moorage's is loopback"),
    "port": becomes("server.port"),
    "api_key": becomes("auth.keys", "", _keys),
    "api_server_count": becomes("server.processes"),
    "uvicorn_log_level": becomes("logging.level", "trace is debug, critical is error", level),
    "timeout_keep_alive": becomes("server.idle_timeout"),
    "shutdown_timeout": becomes("server.drain_timeout"),
    "uds": nothing("Moorage's public entrance is a TCP port"),
    "ssl_keyfile": nothing(NO_TLS),
    "ssl_certfile": nothing(NO_TLS),
    "ssl_ca_certs": nothing(NO_TLS),
    "ssl_cert_reqs": nothing(NO_TLS, 0),
    "ssl_ciphers": nothing(NO_TLS),
    "enable_ssl_refresh": nothing(NO_TLS, False),
    "allowed_origins": nothing(NO_CORS, []),
    "allowed_methods": nothing(NO_CORS),
    "allowed_headers": nothing(NO_CORS),
    "allow_credentials": nothing(NO_CORS, False),
    "root_path": nothing("Moorage's routes begin at /; a proxy in front can add a prefix", "", "/"),
    "middleware": nothing("Moorage's gateway takes no code of others", []),
    "disable_log_requests": nothing("gone from vLLM; one line for each call is Moorage's own, by logging.level"),
    "enable_log_requests": nothing("one line for each call is Moorage's own, by logging.level", False),
    "disable_uvicorn_access_log": nothing("one line for each call is Moorage's own, by logging.level"),
    "disable_access_log_for_endpoints": nothing("one line for each call is Moorage's own, by logging.level"),
    "max_log_len": nothing("Moorage writes no prompts into its log"),
    "enable_request_id_headers": understood("every reply has its X-Request-Id"),
    "disable_fastapi_docs": nothing("/docs is Moorage's own and needs no key to be read", False),
    "enable_offline_docs": understood("Moorage's /docs need no network"),
    "otlp_traces_endpoint": nothing("traces are not sent in this version"),
    "grpc": nothing("gRPC is not served in this version", False),
    "grpc_port": nothing("gRPC is not served in this version"),
    "headless": nothing("a model on several machines is for Ray under vLLM, which this version does not start", False),
    "hf_token": nothing("set the variable HF_TOKEN; a token has no place in this file"),
    "config": nothing("one file is read; write its keys here"),
}

MODEL: Rules = {
    "model": becomes("source"),
    "model_tag": becomes("source"),
    "served_model_name": becomes("name", "further names become aliases"),
    "revision": becomes("source", "as ORG/NAME@REVISION"),
    "task": becomes("task", "vLLM has no --task any more", task),
    "runner": becomes("task", "generate; pooling with convert", lambda v: _runner(v)),
    "convert": becomes("task", "embed; classify is read from the files", lambda v: _convert(v)),
    "download_dir": becomes("cache_dir"),
}

NAMING = frozenset({"model", "model_tag", "served_model_name", "revision"})
"""What says which model it is; read together."""

FLAGS: Rules = {**SERVER, **ENGINE, **MODEL}

_TELLING = frozenset({*ENGINE, "served_model_name", "model_tag", "api_server_count", "uvicorn_log_level"}) - {"device"}


def advice(name: str) -> str:
    """What to write for one of vLLM's flags that stands in a moorage.yaml: a clause, or nothing."""
    rule = ENGINE.get(plain_key(name))
    if not isinstance(rule, Rule) or rule.option == f"options.{plain_key(name)}":
        return ""
    if rule.kind == "warned":
        return rule.why
    return f"it is {rule.option} here{f', {rule.why}' if rule.why else ''}" if rule.option else ""


def recognised(data: Any) -> bool:
    """Whether it is such a file: flat, and it names a model or has keys that only vLLM has."""
    if not is_section(data) or any(name in data for name in ("models", "server", "auth", "engine")):
        return False
    keys = {plain_key(key) for key in data}
    return isinstance(data.get("model"), str) or bool(keys & _TELLING)


def convert(data: Any) -> Converted:
    translation = Translation(TITLE, engine="vllm")
    base = translation.model(())
    model(translation, translation.section(data, ()), (), base)
    return translation.finish()


def model(translation: Translation, data: dict[str, Any], key: Path, base: Path) -> None:
    """A section that names the model, and may hold any other flag."""
    names = {plain_key(name): name for name in data}
    at = next((names[name] for name in ("model", "model_tag") if data.get(names.get(name, ""))), None)
    if at is None or not isinstance(data[at], str):
        translation.refuse(
            (*key, at or "model"),
            "is required: vLLM takes the model from its command line too, here it stands in the file: "
            "`model: ORG/NAME` or a path",
        )
        at = None
    else:
        _source(translation, data, names, key, base, at)
    named = {at, *(names.get(name) for name in ("served_model_name", "revision"))}
    flags(translation, {name: value for name, value in data.items() if name not in named}, key, base)


def flags(translation: Translation, data: dict[str, Any], key: Path, base: Path) -> None:
    """Flags of the model at `base`. Those without a neutral name are vLLM's alone."""
    for name, value in data.items():
        if plain_key(name) in FLAGS:
            translation.apply(FLAGS, {name: value}, key, [base])
        elif value == translation.tree["models"]["local"][base[-1]].get("source") and name == "tokenizer":
            translation.note("honoured", (*key, name), "the model's own")
        elif value is None:
            translation.note("honoured", (*key, name), "empty, as if left out")
        else:
            translation.pass_on((*key, name), value, [base])


def _source(
    translation: Translation, data: dict[str, Any], names: dict[str, str], key: Path, base: Path, at: str
) -> None:
    source, served, revision = data[at], names.get("served_model_name"), names.get("revision")
    _names(translation, source, data[served] if served else None, (*key, served or at), base, at)
    if revision and data[revision] is None:
        translation.note("honoured", (*key, revision), "empty, as if left out")
    elif revision and is_repository(source):
        source = f"{source}@{data[revision]}"
        translation.tell((*key, revision), data[revision], "mapped", "as ORG/NAME@REVISION", (*base, "source"))
    elif revision:
        translation.leave((*key, revision), data[revision], "the model is a path, which has no revisions")
    translation.put((*base, "source"), source, (*key, at))
    translation.note("mapped", (*key, at), "", (*base, "source"))


def _names(translation: Translation, source: str, served: Any, key: Path, base: Path, at: str) -> None:
    """vLLM answers to the names it is told, else to the model as it is written."""
    names = served if is_list(served) else [served] if served is not None else []
    first, *more = names or [own_name(source)]
    translation.put((*base, "name"), first, key)
    if more:
        translation.put((*base, "aliases"), more, key)
    if key[-1] != at:
        translation.tell(key, served, "mapped", "further names become aliases", (*base, "name"))


def own_name(source: str) -> str:
    """What a model is called that has no name but where it is: a repository's name, else the last part of the path."""
    if is_repository(source):
        return source
    last = source.replace("\\", "/").rstrip("/").rpartition("/")[2].rpartition(":")[2].removesuffix(".gguf")
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", last).strip("-._+") or "model"


def _unless(value: Any, usual: str | int) -> Any:
    return Understood("what happens anyway") if value == usual else Verbatim()


def _runner(value: Any) -> Any:
    if value in ("auto", "pooling", "draft"):
        return Understood("read from the files")
    if value == "generate":
        return value
    raise Unfit(value, "auto, generate or pooling")


def _convert(value: Any) -> Any:
    if value == "embed":
        return value
    if value in ("auto", "none", "classify", "reward"):
        return Understood("read from the files")
    raise Unfit(value, "auto, none, embed or classify")
