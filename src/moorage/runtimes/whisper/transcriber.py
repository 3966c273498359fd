"""From a recording to its segments: decode, cut, hear window by window."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from faster_whisper.transcribe import Segment as Found

from moorage.runtimes.whisper.audio import SAMPLE_RATE, Samples, samples
from moorage.runtimes.whisper.languages import ENGLISH
from moorage.runtimes.whisper.library import Library, Task, Wish, speech
from moorage.runtimes.whisper.windows import Find, everything, windows
from moorage.wire.api.audio import Segment, VoiceDetection, Word

PROMPT_TOKENS = 223
"""What Whisper can be told before a window, words to expect included: half its context, less a mark."""
SEEK_PER_S = 100


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is wanted of one recording, checked."""

    task: Task = "transcribe"
    language: str | None = None
    among: Sequence[str] = ()
    """Languages it may be, where none is given."""
    prompt: str | None = None
    hotwords: str | None = None
    temperature: float = 0.0
    words: bool = False
    everything: bool = False
    """Hear what is no speech too."""
    detection: VoiceDetection | None = None


@dataclass(frozen=True)
class Heard:
    """One segment, and its words where they were asked for."""

    segment: Segment
    words: list[Word]


class Transcription:
    """One recording under way, on one thread: iterate `segments`, then read `language` and `duration_s`."""

    def __init__(self, library: Library, order: Order, limit_s: float, progress: Callable[[float], None]) -> None:
        """`progress` is told how many seconds of the recording were read, and may raise to end the work."""
        self._library = library
        self._order = order
        self._limit_s = limit_s
        self._progress = progress
        self._samples = 0
        self._count = 0
        self._end_s = 0.0
        self.language = order.language

    @property
    def duration_s(self) -> float:
        """Of the recording, as far as it was read."""
        return self._samples / SAMPLE_RATE

    def segments(self, file: BinaryIO) -> Iterator[Heard]:
        """In order of time, none reaching into the next. Raises BadRequest for what is no recording."""
        order = self._order
        prompt = self._prompt()
        find: Find = everything if order.everything else partial(speech, detection=order.detection)
        for window in windows(self._read(file), find):
            wish = Wish(
                task=order.task,
                language=self._spoken(window.samples),
                temperature=order.temperature,
                words=order.words,
                hotwords=order.hotwords,
            )
            for found in self._library.hear(window.samples, wish, prompt):
                yield self._placed(found, window.start)

    def _prompt(self) -> list[int]:
        """The end of the call's prompt, as much as has room beside the words to expect.

        Windows are heard apart from each other: told what was heard before, the model makes repetitions of its own
        where speech repeats itself (22 times the same ten seconds: 16 words too many; apart: none).
        """
        order, tokens = self._order, self._library.tokens
        room = PROMPT_TOKENS - (len(tokens(order.hotwords)) if order.hotwords else 0)
        return tokens(order.prompt)[-room:] if order.prompt and room > 0 else []

    def _read(self, file: BinaryIO) -> Iterator[Samples]:
        for piece in samples(file, self._limit_s):
            self._samples += len(piece)
            self._progress(len(piece) / SAMPLE_RATE)
            yield piece

    def _spoken(self, first: Samples) -> str:
        """The language, told from the first window where nobody said it."""
        if self.language is None:
            only = self._library.english_only
            self.language = ENGLISH if only else self._library.language(first, self._order.among)
        return self.language

    def _placed(self, found: Found, start: int) -> Heard:
        """At its time in the recording: the model's own times may go beyond a window's end, or back."""
        start_s = start / SAMPLE_RATE
        begin = self._time(start_s + found.start, self._end_s)
        words: list[Word] = []
        end = begin
        for word in found.words or ():
            word_begin = self._time(start_s + word.start, end)
            end = self._time(start_s + word.end, word_begin)
            words.append(Word(word=word.word.strip(), start=word_begin, end=end))
        end = self._time(start_s + found.end, end)
        segment = Segment(
            id=self._count,
            seek=start * SEEK_PER_S // SAMPLE_RATE + found.seek,
            start=begin,
            end=end,
            text=found.text,
            tokens=found.tokens,
            temperature=round(found.temperature or 0.0, 2),
            avg_logprob=found.avg_logprob,
            compression_ratio=found.compression_ratio,
            no_speech_prob=found.no_speech_prob,
        )
        self._count += 1
        self._end_s = end
        return Heard(segment, words)

    def _time(self, seconds: float, earliest: float) -> float:
        return max(earliest, round(min(float(seconds), self.duration_s), 3))
