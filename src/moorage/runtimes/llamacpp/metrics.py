"""/metrics: llama.cpp's own text, and what the host counts."""

import asyncio
import threading

from moorage.errors import MoorageError
from moorage.runtimes.host.metrics import exposition, samples
from moorage.runtimes.llamacpp.caller import Caller

WAIT_S = 1.0
"""llama.cpp answers between two steps; a scrape waits no longer than this."""


class Metrics:
    """A hung engine still gets scraped: its last words are repeated, so that its progress is seen to stand still."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._last = ""
        self._asking: asyncio.Future[str] | None = None

    async def text(self) -> str:
        if self._asking is None or self._asking.done():
            self._asking = self._ask()
        done, _ = await asyncio.wait({self._asking}, timeout=WAIT_S)
        if done:
            self._last = self._asking.result()
        return self._last.rstrip("\n") + "\n" + self._own()

    def _ask(self) -> asyncio.Future[str]:
        """On a thread that does not hold up the process's end, for a hung engine never answers."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str] = loop.create_future()

        def settle(text: str | None) -> None:
            if not answer.done():
                answer.set_result(self._last if text is None else text)

        def ask() -> None:
            try:
                text = self._caller.library.metrics()
            except (MoorageError, RuntimeError):
                text = None
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, text)

        threading.Thread(target=ask, name="metrics", daemon=True).start()
        return answer

    def _own(self) -> str:
        slots, counters = self._caller.slots, self._caller.counters
        calls = samples(counters, running=slots.running, queued=slots.queued, slots=slots.total)
        return exposition([*calls, counters.written()])
