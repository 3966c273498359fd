"""Engines by name. An adapter is imported when it is asked for; importing this does nothing."""

import difflib
import importlib
from collections.abc import Iterator

from moorage.core.ports import Engine
from moorage.errors import EngineError

ENGINES: dict[str, str] = {
    "llama.cpp": "moorage.engines.llamacpp:LlamaCpp",
    "openvino": "moorage.engines.openvino:OpenVino",
    "onnx": "moorage.engines.onnx:Onnx",
    "faster-whisper": "moorage.engines.whisper:FasterWhisper",
    "llama-server": "moorage.engines.llama_server:LlamaServer",
    "sglang": "moorage.engines.sglang:SgLang",
    "tensorrt-llm": "moorage.engines.tensorrt_llm:TensorRtLlm",
    "mistralrs": "moorage.engines.mistralrs:MistralRs",
    "vllm": "moorage.engines.vllm:Vllm",
    "transformers": "moorage.engines.transformers_serve:TransformersServe",
}
"""Name → `module:class` of the adapter, in the order `auto` asks them."""

PARTS = (
    *("name", "proven", "metrics_path", "cancels_unary", "echoes_model"),
    *("supports", "launch", "probe", "observe", "diagnose"),
)


def load(name: str) -> Engine:
    """The adapter of that name, or a user's own as `package.module:attribute`. Raises EngineError."""
    target = ENGINES.get(name)
    if target is None and ":" not in name:
        raise EngineError(f"there is no engine {name!r}{_suggestion(name)}")
    return _adapter(target or name, name)


def registered() -> Iterator[Engine]:
    """Every engine Moorage has an adapter for."""
    return (load(name) for name in ENGINES)


def _suggestion(name: str) -> str:
    plain = {"".join(filter(str.isalnum, known)).lower(): known for known in ENGINES}
    near = difflib.get_close_matches("".join(filter(str.isalnum, name)).lower(), plain, n=1, cutoff=0.5)
    known = ", ".join(["auto", *ENGINES])
    if near:
        return f"; did you mean {plain[near[0]]!r}? Known are {known}, or package.module:attribute"
    return f"; known are {known}, or an adapter of your own as package.module:attribute"


def _adapter(target: str, name: str) -> Engine:
    module_name, _, attribute = target.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise EngineError(f"engine {name!r} cannot be loaded: {error}") from error
    engine = found() if isinstance(found, type) else found
    missing = [part for part in PARTS if not hasattr(engine, part)]
    if missing:
        raise EngineError(f"engine {name!r} is no adapter: it has no {', '.join(missing)} (moorage.core.ports.Engine)")
    return engine
