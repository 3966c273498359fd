"""/metrics: calls, steps, tokens, and how much of the KV cache is held."""

from moorage.runtimes.generating.counters import TextCounters
from moorage.runtimes.generating.slots import Slots
from moorage.runtimes.host.metrics import exposition, samples
from moorage.runtimes.openvino.library import Library
from moorage.runtimes.openvino.stepping import Stepper


class Metrics:
    def __init__(self, library: Library, stepper: Stepper, slots: Slots, counters: TextCounters) -> None:
        self._library = library
        self._stepper = stepper
        self._slots = slots
        self._counters = counters

    async def text(self) -> str:
        slots = self._slots
        used = self._library.cache_used() if self._library.busy() else 0.0
        calls = samples(self._counters, running=slots.running, queued=slots.queued, slots=slots.total)
        return exposition(
            [
                *calls,
                self._counters.written(),
                ("counter", "steps_total", "Steps of the engine that computed something", self._stepper.steps),
                ("gauge", "sequences", "Sequences that the engine holds", self._stepper.held),
                (
                    "gauge",
                    "kv_used",
                    "Share of the KV cache held by calls",
                    used,
                ),
            ]
        )
