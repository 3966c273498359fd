"""From the thread in which the library calls back to the event loop that serves the client.

Bounded: a slow reader stops the library's thread, not the memory. Events that gathered are taken as one batch, so a
busy loop is woken once for many.
"""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

LIMIT = 256
"""Events held for a slow reader."""

Event = dict[str, Any]


class Channel:
    """put and close are called from one other thread, everything else on the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._events: deque[Event] = deque()
        self._change = threading.Condition()
        self._wake = asyncio.Event()
        self._woken = False
        self._closed = False
        self._error: Exception | None = None
        self.cancelled = False

    def put(self, event: Event) -> bool:
        """Hand over one event, waiting while the reader is behind. True: the reader left, stop."""
        with self._change:
            while len(self._events) >= LIMIT and not self.cancelled:
                self._change.wait()
            if self.cancelled:
                return True
            self._events.append(event)
            self._notify()
        return False

    def close(self, error: Exception | None = None) -> None:
        """No more events. The reader gets what is left, then the error if there is one."""
        with self._change:
            self._closed = True
            self._error = error
            if not self.cancelled:
                self._notify()

    def cancel(self) -> None:
        """The reader left: the next put says so, and one that waits returns."""
        with self._change:
            self.cancelled = True
            self._events.clear()
            self._change.notify_all()

    async def batches(self) -> AsyncIterator[list[Event]]:
        """Events in order, as many at a time as have gathered."""
        while True:
            await self._wake.wait()
            with self._change:
                self._wake.clear()
                self._woken = False
                batch = list(self._events)
                self._events.clear()
                closed, error = self._closed, self._error
                self._change.notify_all()
            if batch:
                yield batch
            if closed:
                if error is not None:
                    raise error
                return

    def _notify(self) -> None:
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._wake.set)
