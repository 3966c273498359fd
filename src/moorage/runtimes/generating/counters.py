"""What a runtime that writes counts."""

from dataclasses import dataclass

from moorage.runtimes.host.metrics import Counters, Sample


@dataclass
class TextCounters(Counters):
    tokens: int = 0

    def written(self) -> Sample:
        return "counter", "tokens_total", "Pieces of text given out, about one a token", self.tokens
