"""faster-whisper as the transcriber uses it. The one place where the library is called."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.transcribe import Segment
from faster_whisper.vad import VadOptions, get_speech_timestamps
from tokenizers import Tokenizer

from moorage.errors import EngineError, ModelError
from moorage.models.files.opening import whole
from moorage.runtimes.whisper.audio import SAMPLE_RATE, Samples
from moorage.runtimes.whisper.languages import ENGLISH
from moorage.runtimes.whisper.windows import WINDOW_SAMPLES, Stretch
from moorage.wire.api.audio import VoiceDetection
from moorage.wire.runtime import SpeechSettings

RISING = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Temperatures tried one after the other while the text repeats itself or is improbable (Radford et al. 2022, 4.5)."""
PADDING_MS = 400
SILENCE_MS = 300
LOUD = 0.5
GAIN_MAX = 100.0
"""Quiet recordings are made loud for the detector, which else takes speech below -60 dB for silence."""
CONFIG_BYTES_MAX = 8 * 1024 * 1024
START = "<|startoftranscript|>"
TRIED_FRAMES = 100
"""Of 10 ms: with so few a try takes a thirtieth of what a window does."""

Task = Literal["transcribe", "translate"]


class Stopped(Exception):
    """Nobody waits for the call any more."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a call wants done with each window."""

    task: Task
    language: str
    temperature: float
    words: bool
    hotwords: str | None


class Library:
    """Construct → load → use from any number of threads, `max_calls` of them at once in the model."""

    def __init__(self, settings: SpeechSettings) -> None:
        self._settings = settings
        self._model: WhisperModel | None = None
        self._thread = threading.local()
        self.languages: Sequence[str] = ()
        """Codes of those it knows. English alone means that it neither translates nor tells languages apart."""

    def load(self) -> None:
        """Raises EngineError."""
        settings = self._settings
        folder = Path(settings.model_path)
        _check_config(folder, _check_tokenizer(folder))
        try:
            model = WhisperModel(
                settings.model_path,
                device="cpu",
                compute_type=settings.compute_type,
                cpu_threads=settings.threads,
                num_workers=settings.max_calls,
                local_files_only=True,
            )
            _try(model)
        except Exception as error:  # whatever a library says of files that may hold anything
            raise EngineError(f"CTranslate2 cannot load {settings.model_path}: {error}") from error
        known = model.hf_tokenizer.token_to_id
        codes = model.supported_languages
        # The library lists what the newest models know.
        self.languages = codes if codes == [ENGLISH] else [code for code in codes if known(f"<|{code}|>") is not None]
        model.model = _Watched(model.model, self._step)
        self._model = model

    @property
    def model(self) -> WhisperModel:
        assert self._model is not None, "not loaded"
        return self._model

    def watch(self, step: Callable[[], None]) -> None:
        """`step` is called on this thread before each step of the model. What it raises ends the work."""
        self._thread.step = step

    def _step(self) -> None:
        self._thread.step()

    def language(self, samples: Samples, among: Sequence[str]) -> str:
        """The most probable one, of those of `among` where there are any."""
        found, _, probabilities = self.model.detect_language(samples)
        return next((code for code, _ in probabilities if code in among), found)

    def hear(self, samples: Samples, wish: Wish, prompt: Sequence[int]) -> Iterator[Segment]:
        """What is said in one window, its times from the window's start. `prompt` are tokens that it may go on from."""
        segments, _ = self.model.transcribe(
            samples,
            language=wish.language,
            task=wish.task,
            beam_size=self._settings.beam_size,
            temperature=_rising(wish.temperature),
            condition_on_previous_text=False,
            initial_prompt=prompt or None,
            word_timestamps=wish.words,
            vad_filter=False,
            hotwords=wish.hotwords,
        )
        yield from segments

    def tokens(self, text: str) -> list[int]:
        return self.model.hf_tokenizer.encode(" " + text.strip(), add_special_tokens=False).ids

    @property
    def english_only(self) -> bool:
        return list(self.languages) == [ENGLISH]


class _Config(msgspec.Struct):
    suppress_ids: list[int] | None
    suppress_ids_begin: list[int] | None


def _check_config(folder: Path, vocabulary: int) -> None:
    """CTranslate2 neither minds that these are missing, which then fails now and then, nor where they lead."""
    where = f"CTranslate2 cannot load {folder}: config.json"
    try:
        config = msgspec.json.decode(whole(folder / "config.json", CONFIG_BYTES_MAX), type=_Config)
    except ModelError as error:
        raise EngineError(f"CTranslate2 cannot load {folder}: {error.message}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EngineError(f"{where} is not one of a converted Whisper model: {error}") from error
    for token in (*(config.suppress_ids or ()), *(config.suppress_ids_begin or ())):
        if not -1 <= token < vocabulary:
            raise EngineError(f"{where} suppresses the token {token}, of which there is none")


def _check_tokenizer(folder: Path) -> int:
    """How many tokens it has. Where it is missing, the library would ask a hub for one."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise EngineError(f"{str(folder)!r} has no {path.name}: put that of the original model there")
    try:
        return Tokenizer.from_file(str(path)).get_vocab_size()
    except Exception as error:  # the library raises nothing narrower
        raise EngineError(f"{str(path)!r} is no tokenizer that can be read: {error}; get the file again") from error


def _try(model: WhisperModel) -> None:
    """Hear a second of nothing: files that do not belong together load well, and fail at every recording."""
    heard = model.encode(np.zeros((model.model.n_mels, TRIED_FRAMES), np.float32))
    start = model.hf_tokenizer.token_to_id(START)
    if start is None:
        raise ValueError(f"its tokenizer has no token {START}")
    model.model.generate(heard, [[start]], max_length=4)


def _rising(first: float) -> tuple[float, ...]:
    return (first, *(each for each in RISING if each > first))


def speech(block: Samples, detection: VoiceDetection | None) -> list[Stretch]:
    """Where somebody speaks: Silero's detector, with some silence around each stretch."""
    loudest = float(np.abs(block).max(initial=0.0))
    if loudest == 0.0:
        return []
    options = VadOptions(
        threshold=detection.threshold if detection else 0.5,
        min_silence_duration_ms=detection.silence_duration_ms if detection else SILENCE_MS,
        speech_pad_ms=detection.prefix_padding_ms if detection else PADDING_MS,
        max_speech_duration_s=WINDOW_SAMPLES / SAMPLE_RATE,
    )
    found = get_speech_timestamps(block * min(GAIN_MAX, LOUD / loudest), options, SAMPLE_RATE)
    return [(each["start"], each["end"]) for each in found]


class _Watched:
    """CTranslate2's model, whose steps are announced: encoding a window, and each try of decoding it."""

    def __init__(self, model: Any, step: Callable[[], None]) -> None:
        self._model = model
        self._step = step

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def encode(self, *arguments: Any, **options: Any) -> Any:
        self._step()
        return self._model.encode(*arguments, **options)

    def generate(self, *arguments: Any, **options: Any) -> Any:
        self._step()
        return self._model.generate(*arguments, **options)
