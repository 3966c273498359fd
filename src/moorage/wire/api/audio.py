"""`POST /v1/audio/transcriptions` and `/v1/audio/translations`: OpenAI's published forms, replies and stream events.

A request is a form (`wire.api.form` decodes it): the recording is its part `file`, which is not declared here, the
other parts are the fields below.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from moorage.wire.api.fields import Share

FILE = "file"
"""The part of the form that holds the recording, in any container and codec that FFmpeg reads as audio."""

TEXT_CHARS_MAX = 1 << 16

Format = Literal["json", "text", "srt", "verbose_json", "vtt"]
Granularity = Literal["word", "segment"]
Language = Annotated[str, Meta(min_length=2, max_length=32)]
"""ISO 639-1, or the language's English name."""
Text = Annotated[str, Meta(max_length=TEXT_CHARS_MAX)]
Milliseconds = Annotated[int, Meta(ge=0, le=30_000)]


class VoiceDetection(Struct, kw_only=True):
    """OpenAI's `VadConfig`: how speech is told from what is none."""

    type: Literal["server_vad"]
    threshold: Share = 0.5
    """How sure it must be that a piece is speech."""
    prefix_padding_ms: Milliseconds = 300
    """Audio kept before and after speech."""
    silence_duration_ms: Milliseconds = 200
    """A silence so long ends a stretch of speech."""


class SpeechRequest(Struct, kw_only=True):
    """What both forms have. `hotwords`, `vad_filter`, `to_language` are extensions that vLLM or speaches have too."""

    model: str = ""
    prompt: Text | None = None
    """What was said before, or the style and words to expect, in the language of the recording."""
    response_format: Format = "json"
    temperature: Share | None = None
    """0 decodes by beam search, and again with rising temperature where the result looks wrong."""
    stream: bool | None = None
    """Server-sent events as speech is recognised; with `json` and `text` only."""
    hotwords: Text | None = None
    """Words to expect in every part of the recording: names, terms."""
    vad_filter: bool | None = None
    """False lets the model hear parts without speech too: for song. It may then hear words in silence."""
    chunking_strategy: Literal["auto"] | VoiceDetection | None = None
    """How the recording is cut into the parts that the model hears at once: at silences, which this can tune."""
    to_language: Language | None = None
    """Translate into this language. Whisper models translate into English alone."""


class TranscriptionRequest(SpeechRequest, kw_only=True):
    language: Language | None = None
    """What is spoken; told from the first words when left out."""
    languages: Annotated[list[Language], Meta(min_length=1, max_length=100)] | None = None
    """Those that may be spoken: one of them is told from the first words."""
    keywords: Annotated[list[Text], Meta(max_length=1000)] | None = None
    """As `hotwords`, one a field."""
    timestamp_granularities: list[Granularity] | None = None
    """With `verbose_json`: which lists the reply has; segments when left out."""
    include: list[Literal["logprobs"]] | None = None


class TranslationRequest(SpeechRequest, kw_only=True):
    """A recording in any language the model knows, told in English."""

    language: Language | None = None
    """What is spoken, as for transcriptions."""


class DurationUsage(Struct, kw_only=True):
    """OpenAI's `TranscriptTextUsageDuration`: what a call is counted by."""

    seconds: float
    """Length of the recording."""
    type: Literal["duration"] = "duration"


class TranscriptionReply(Struct, kw_only=True):
    """With `json`. Translations are answered with the same."""

    text: str
    usage: DurationUsage


class Word(Struct, kw_only=True):
    word: str
    start: float
    end: float


class Segment(Struct, kw_only=True):
    id: int
    seek: int
    """Where the part of the recording began that the model heard this in, in hundredths of a second."""
    start: float
    end: float
    text: str
    tokens: list[int]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float


class VerboseReply(Struct, kw_only=True, omit_defaults=True):
    """With `verbose_json`. Times are seconds from the start of the recording."""

    task: str
    """transcribe or translate."""
    language: str
    """In English: of the recording, for a translation `english`."""
    duration: float
    text: str
    usage: DurationUsage
    words: list[Word] | None = None
    segments: list[Segment] | None = None


class TextDelta(Struct, kw_only=True):
    """A stream's event: what was recognised since the one before. Joined, the deltas are the text."""

    delta: str
    type: Literal["transcript.text.delta"] = "transcript.text.delta"


class TextDone(Struct, kw_only=True):
    """A stream's last event."""

    text: str
    usage: DurationUsage
    type: Literal["transcript.text.done"] = "transcript.text.done"
