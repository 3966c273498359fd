"""A reply as it is written: tokens in, text out at whole characters, ended before a stop text."""

import codecs
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from moorage.runtimes.openvino.vocabulary import Vocabulary

Json = dict[str, Any]


@dataclass(frozen=True)
class Written:
    """What became certain of the reply."""

    text: str = ""
    logprobs: tuple[Json, ...] = ()
    stopped: bool = False
    """A stop text was found: nothing more comes."""

    def __add__(self, more: "Written") -> "Written":
        return Written(self.text + more.text, self.logprobs + more.logprobs, self.stopped or more.stopped)


class Writer:
    """One reply. feed() as tokens come, then end()."""

    def __init__(self, vocabulary: Vocabulary, stops: Sequence[str], *, logprobs: bool) -> None:
        self._vocabulary = vocabulary
        self._stops = [stop for stop in stops if stop]
        self._logprobs = logprobs
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._given = 0
        """Characters given out."""
        self._decoded = 0
        self._entries: deque[tuple[int, Json]] = deque()
        """With the number of characters there are up to the token's end."""

    def feed(self, tokens: Sequence[int], logprobs: Sequence[float]) -> Written:
        for place, token in enumerate(tokens):
            shown = self._vocabulary.shown(token)
            text = self._decoder.decode(shown)
            self._held += text
            self._decoded += len(text)
            if self._logprobs and shown:
                entry = _entry(shown, logprobs[place] if place < len(logprobs) else 0.0)
                self._entries.append((self._decoded, entry))
        return self._checked()

    def end(self) -> Written:
        """What is left: a character that was never finished, and what looked like a stop text."""
        text = self._decoder.decode(b"", final=True)
        self._held += text
        self._decoded += len(text)
        found = self._checked()
        rest = "" if found.stopped else self._held
        self._held = ""
        self._given += len(rest)
        return found + Written(rest, self._released())

    def _checked(self) -> Written:
        places = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if places:
            text, self._held = self._held[: min(places)], ""
            self._given += len(text)
            entries = self._released()
            self._entries.clear()
            return Written(text, entries, stopped=True)
        keep = self._beginning()
        cut = len(self._held) - keep
        text, self._held = self._held[:cut], self._held[cut:]
        self._given += len(text)
        return Written(text, self._released())

    def _beginning(self) -> int:
        """How many of the last characters may be the beginning of a stop text."""
        longest = 0
        for stop in self._stops:
            for size in range(min(len(stop) - 1, len(self._held)), longest, -1):
                if self._held.endswith(stop[:size]):
                    longest = size
                    break
        return longest

    def _released(self) -> tuple[Json, ...]:
        found: list[Json] = []
        while self._entries and self._entries[0][0] <= self._given:
            found.append(self._entries.popleft()[1])
        return tuple(found)


def _entry(shown: bytes, logprob: float) -> Json:
    # A probability of one may come out a little above it.
    return {
        "token": shown.decode(errors="replace"),
        "bytes": list(shown),
        "logprob": min(logprob, 0.0),
        "top_logprobs": [],
    }
