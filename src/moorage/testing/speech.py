"""What the fake engine says of a recording: words of its own, in every shape of OpenAI's audio routes."""

from collections.abc import Iterator
from typing import Any

from moorage.testing.faults import said
from moorage.testing.forms import Form
from moorage.testing.replies import WORDS, encode, pieces

BYTES_PER_S = 32_000
"""Of a recording: 16,000 samples of 16 bits."""
WORD_S = 0.5
FORMATS = ("json", "text", "srt", "vtt", "verbose_json")


class Transcript:
    """One reply (`delivery.Reply`): a word a token."""

    n = 1
    wants_usage = usage_always = False

    def __init__(self, form: Form, *, default_tokens: int) -> None:
        """Raises ValueError for a form it cannot answer."""
        if form.file is None:
            raise ValueError("'file' is missing")
        fields = form.fields
        self.stream = fields.get("stream") == "true"
        self._format = fields.get("response_format", "json")
        if self._format not in FORMATS:
            raise ValueError(f"response_format {self._format!r} is none of {', '.join(FORMATS)}")
        self._language = fields.get("language", "en")
        self._seconds = len(form.file.body) / BYTES_PER_S
        text = said(fields.get("prompt", ""))
        words = [WORDS[at % len(WORDS)] for at in range(default_tokens)]
        self.tokens = pieces(text) if text is not None else [words[0].lstrip(), *words[1:]]

    @property
    def content_type(self) -> str:
        kinds = {"text": "text/plain", "srt": "application/x-subrip", "vtt": "text/vtt"}
        return kinds[self._format] + "; charset=utf-8" if self._format in kinds else "application/json"

    @property
    def prompt_tokens(self) -> int:
        return 0

    @property
    def usage(self) -> dict[str, Any]:
        return {"type": "duration", "seconds": self._seconds}

    def opening(self) -> Iterator[bytes]:
        yield from ()

    def token(self, at: int) -> Iterator[bytes]:
        yield encode({"type": "transcript.text.delta", "delta": self.tokens[at]})

    def closing(self) -> Iterator[bytes]:
        yield encode({"type": "transcript.text.done", "text": self._text, "usage": self.usage})

    def whole(self) -> bytes:
        match self._format:
            case "text":
                return f"{self._text}\n".encode()
            case "srt":
                lines = (f"{at + 1}\n{_clock(at, ',')} --> {_clock(at + 1, ',')}\n{word}\n" for at, word in self._words)
                return "\n".join(lines).encode()
            case "vtt":
                lines = (f"{_clock(at, '.')} --> {_clock(at + 1, '.')}\n{word}\n" for at, word in self._words)
                return "\n".join(["WEBVTT\n", *lines]).encode()
            case "verbose_json":
                return encode(self._verbose())
            case _:
                return encode({"text": self._text, "usage": self.usage})

    def _verbose(self) -> dict[str, Any]:
        words = [{"word": word, "start": at * WORD_S, "end": (at + 1) * WORD_S} for at, word in self._words]
        return {
            "task": "transcribe",
            "language": self._language,
            "duration": self._seconds,
            "text": self._text,
            "words": words,
            "usage": self.usage,
        }

    @property
    def _text(self) -> str:
        return "".join(self.tokens)

    @property
    def _words(self) -> Iterator[tuple[int, str]]:
        return enumerate(token.strip() for token in self.tokens)


def _clock(words: int, point: str) -> str:
    millis = int(words * WORD_S * 1000)
    return f"{millis // 3_600_000:02}:{millis // 60_000 % 60:02}:{millis // 1000 % 60:02}{point}{millis % 1000:03}"
