"""What the package itself does not name, though its functions return it."""

from . import GenerationFinishReason, GenerationStatus

class GenerationOutput:
    finish_reason: GenerationFinishReason
    generated_ids: list[int]
    generated_log_probs: list[float]

class GenerationHandle:
    def can_read(self) -> bool: ...
    def read(self) -> dict[int, GenerationOutput]: ...
    def cancel(self) -> None: ...
    def get_status(self) -> GenerationStatus: ...

class PipelineMetrics:
    scheduled_requests: int
    cache_usage: float
    """Percent, of the last step."""
    kv_cache_size_in_bytes: int
