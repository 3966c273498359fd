"""/metrics: llama.cpp's own text, and what the host counts."""

import asyncio
import threading

from moorage.errors import MoorageError
from moorage.runtimes.llamacpp.caller import Caller

WAIT_S = 1.0
"""llama.cpp answers between two steps; a scrape waits no longer than this."""


class Metrics:
    """A hung engine still gets scraped: its last words are repeated, so that its progress is seen to stand still."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._last = ""
        self._asking: asyncio.Future[str] | None = None

    async def text(self) -> bytes:
        if self._asking is None or self._asking.done():
            self._asking = self._ask()
        done, _ = await asyncio.wait({self._asking}, timeout=WAIT_S)
        if done:
            self._last = self._asking.result()
        return (self._last.rstrip("\n") + "\n" + self._own()).encode()

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
        gauges = {
            "running": ("Slots in use", slots.running),
            "queued": ("Calls that wait for a slot", slots.queued),
            "slots": ("Calls that can run at once", slots.total),
        }
        counts = {
            "calls_total": ("Calls given to the engine", counters.calls),
            "calls_finished_total": ("Calls that ran to their end", counters.finished),
            "calls_cancelled_total": ("Calls whose client left", counters.cancelled),
            "calls_failed_total": ("Calls the engine refused or failed", counters.failed),
            "tokens_total": ("Pieces of text given out, about one a token", counters.tokens),
        }
        lines: list[str] = []
        for kind, family in (("gauge", gauges), ("counter", counts)):
            for name, (text, value) in family.items():
                full = f"moorage_runtime_{name}"
                lines += [f"# HELP {full} {text}", f"# TYPE {full} {kind}", f"{full} {value}"]
        return "\n".join(lines) + "\n"
