"""/metrics: calls, texts and steps. Engine adapters read these names."""

from moorage.runtimes.encoding.graphs.batch import Batcher
from moorage.runtimes.host.metrics import exposition, samples


class Metrics:
    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher

    async def text(self) -> str:
        batcher, counters = self._batcher, self._batcher.counters
        return exposition(
            [
                *samples(counters, running=batcher.running, queued=batcher.queued, slots=batcher.max_calls),
                ("gauge", "texts_waiting", "Texts that wait for a step", batcher.texts_waiting),
                ("counter", "steps_total", "Steps computed", counters.steps),
                ("counter", "step_seconds_total", "Time they took", counters.seconds),
                ("counter", "texts_total", "Texts computed; over steps, the mean size of a batch", counters.texts),
                ("counter", "tokens_total", "Tokens computed", counters.tokens),
                ("counter", "padding_tokens_total", "Tokens of padding computed with them", counters.padding),
            ]
        )
