"""What Moorage calls of faster-whisper 1.2, an untyped library."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from faster_whisper.transcribe import Segment
from numpy.typing import NDArray
from tokenizers import Tokenizer

__version__: str

class TranscriptionInfo:
    language: str
    language_probability: float
    duration: float

class WhisperModel:
    hf_tokenizer: Tokenizer
    model: Any
    """The ctranslate2.models.Whisper behind it."""
    def __init__(
        self,
        model_size_or_path: str,
        device: str = ...,
        *,
        compute_type: str = ...,
        cpu_threads: int = ...,
        num_workers: int = ...,
        local_files_only: bool = ...,
    ) -> None: ...
    @property
    def supported_languages(self) -> list[str]: ...
    def encode(self, features: NDArray[np.float32]) -> Any:
        """The model's state after [n_mels, frames]; a frame is 10 ms."""
    def transcribe(
        self,
        audio: NDArray[np.float32],
        *,
        language: str | None = ...,
        task: str = ...,
        beam_size: int = ...,
        temperature: float | Sequence[float] = ...,
        condition_on_previous_text: bool = ...,
        initial_prompt: str | Iterable[int] | None = ...,
        word_timestamps: bool = ...,
        vad_filter: bool = ...,
        hotwords: str | None = ...,
    ) -> tuple[Iterable[Segment], TranscriptionInfo]: ...
    def detect_language(
        self, audio: NDArray[np.float32] | None = ...
    ) -> tuple[str, float, list[tuple[str, float]]]: ...
