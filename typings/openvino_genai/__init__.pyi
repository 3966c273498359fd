"""What Moorage calls of openvino-genai 2026.4."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, overload

from openvino import Tensor

from .py_openvino_genai import GenerationHandle, PipelineMetrics

__version__: str

class StructuredOutputConfig:
    def __init__(self, *, grammar: str) -> None: ...

class GenerationConfig:
    do_sample: bool
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    eos_token_id: int
    stop_token_ids: set[int]
    def __init__(self, **fields: Any) -> None: ...

class GenerationFinishReason:
    NONE: GenerationFinishReason
    STOP: GenerationFinishReason
    LENGTH: GenerationFinishReason

class GenerationStatus:
    RUNNING: GenerationStatus
    FINISHED: GenerationStatus
    IGNORED: GenerationStatus
    """Out of memory for its KV cache."""

class SchedulerConfig:
    num_kv_blocks: int
    max_num_batched_tokens: int
    max_num_seqs: int
    dynamic_split_fuse: bool
    enable_prefix_caching: bool

class TokenizedInputs:
    input_ids: Tensor
    attention_mask: Tensor

class Tokenizer:
    chat_template: str
    def __init__(self, tokenizer_path: str | PathLike[str], **properties: Any) -> None: ...
    @overload
    def encode(self, prompt: str | Sequence[str], add_special_tokens: bool = True) -> TokenizedInputs: ...
    @overload
    def encode(self, prompts_1: Sequence[str], prompts_2: Sequence[str]) -> TokenizedInputs: ...
    def supports_paired_input(self) -> bool: ...
    def get_vocab_vector(self) -> list[str]: ...
    def decode(self, tokens: Sequence[Sequence[int]], skip_special_tokens: bool = True) -> list[str]: ...
    def apply_chat_template(
        self,
        history: Sequence[dict[str, Any]],
        add_generation_prompt: bool,
        *,
        tools: Sequence[dict[str, Any]] | None = None,
        extra_context: dict[str, Any] | None = None,
    ) -> str: ...
    def get_vocab(self) -> dict[bytes, int]: ...
    def get_bos_token(self) -> str: ...
    def get_eos_token_id(self) -> int: ...

class ContinuousBatchingPipeline:
    def __init__(
        self,
        models_path: str | PathLike[str],
        scheduler_config: SchedulerConfig,
        device: str,
        properties: Mapping[str, Any] = {},
    ) -> None: ...
    def get_tokenizer(self) -> Tokenizer: ...
    def get_config(self) -> GenerationConfig: ...
    def get_metrics(self) -> PipelineMetrics: ...
    def add_request(
        self, request_id: int, input_ids: Tensor, generation_config: GenerationConfig
    ) -> GenerationHandle: ...
    def step(self) -> None:
        """Holds the interpreter's lock."""
    def has_non_finished_requests(self) -> bool: ...
