"""Who may call the library now: as many permits as it has slots, first come, first served.

Nothing ever queues inside llama.cpp, because a queued call there does not see that its client left; nor elsewhere, so
that every runtime counts alike.
"""

import asyncio
from collections import deque


class Slots:
    """A fair semaphore whose waiters may take several permits at once. One event loop."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.free = total
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def running(self) -> int:
        return self.total - self.free

    @property
    def queued(self) -> int:
        return len(self._waiting)

    async def acquire(self, permits: int) -> None:
        """Wait for `permits` at once, in order of arrival: a large wish is not starved by small ones."""
        if not 1 <= permits <= self.total:
            raise ValueError(f"{permits} permits wanted, there are {self.total}")
        if not self._waiting and self.free >= permits:
            self.free -= permits
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (permits, turn)
        self._waiting.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting.remove(entry)
                self._admit()
            else:
                self.release(permits)
            raise

    def release(self, permits: int) -> None:
        self.free += permits
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self.free >= self._waiting[0][0]:
            permits, turn = self._waiting[0]
            if turn.cancelled():
                return
            self._waiting.popleft()
            self.free -= permits
            turn.set_result(None)
