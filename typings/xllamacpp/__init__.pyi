"""What Moorage calls of xllamacpp 2026.10, an untyped library."""

from collections.abc import Callable
from typing import Any

__version__: str

class CommonParamsModel:
    path: str

class CpuParams:
    n_threads: int

class ggml_type:  # noqa: N801
    GGML_TYPE_F16: ggml_type
    GGML_TYPE_Q4_0: ggml_type
    GGML_TYPE_Q8_0: ggml_type

class llama_pooling_type:  # noqa: N801
    LLAMA_POOLING_TYPE_MEAN: llama_pooling_type

class CommonParams:
    model: CommonParamsModel
    model_alias: set[str]
    hostnames: list[str]
    api_keys: list[str]
    cors_origins: str
    ui: bool
    endpoint_metrics: bool
    endpoint_slots: bool
    n_threads_http: int
    n_ctx: int
    n_parallel: int
    n_batch: int
    n_ubatch: int
    cpuparams: CpuParams
    cpuparams_batch: CpuParams
    cache_type_k: ggml_type
    cache_type_v: ggml_type
    cache_prompt: bool
    cache_ram_mib: int
    cache_idle_slots: bool
    fit_params: bool
    embedding: bool
    pooling_type: llama_pooling_type
    warmup: bool
    verbosity: int

class Server:
    def __init__(self, params: CommonParams) -> None:
        """Loads the model and holds the interpreter's lock for as long as that takes."""
    def handle_chat_completions(self, body: dict[str, Any], callback: Callable[[Any], bool]) -> None: ...
    def handle_completions(self, body: dict[str, Any], callback: Callable[[Any], bool]) -> None: ...
    def handle_embeddings(self, body: dict[str, Any]) -> dict[str, Any]: ...
    def handle_rerank(self, body: dict[str, Any]) -> dict[str, Any]: ...
    def handle_metrics(self) -> str: ...
