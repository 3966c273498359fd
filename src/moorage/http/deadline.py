"""Deadlines of a call's phases, for the price of one assignment per chunk."""

import asyncio
from types import TracebackType
from typing import Self

from moorage.errors import DeadlineExceeded


class Deadline:
    """Ends the block when a phase outlasts its limit, with an error that names the setting.

        async with Deadline(total_s=600) as deadline:
            deadline.phase("first token", 300, "server.request_timeout")
            …
            deadline.phase("next token", 60, "server.token_timeout")
            async for chunk in stream:
                deadline.touch()

    The timer is not moved at each touch: when it fires it looks at the last touch and arms itself for the rest.
    """

    def __init__(self, total_s: float | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._scope = asyncio.timeout(None)
        self._timer: asyncio.TimerHandle | None = None
        self._ends_at = None if total_s is None else self._loop.time() + total_s
        self._total_s = total_s
        self._touched = self._loop.time()
        self._limit_s: float | None = None
        self._name = ""
        self._setting = ""
        self._expired = ""

    async def __aenter__(self) -> Self:
        await self._scope.__aenter__()
        self._arm()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        try:
            await self._scope.__aexit__(kind, error, trace)
        except TimeoutError as timeout:
            raise DeadlineExceeded(self._expired) from timeout

    def phase(self, name: str, limit_s: float | None, setting: str) -> None:
        """Begin a phase. `setting` is the configuration's name of the limit."""
        self._name, self._limit_s, self._setting = name, limit_s, setting
        self._touched = self._loop.time()
        self._arm()

    def touch(self) -> None:
        """The phase made progress: its limit counts from now."""
        self._touched = self._loop.time()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        moments = [self._touched + self._limit_s] if self._limit_s is not None else []
        if self._ends_at is not None:
            moments.append(self._ends_at)
        self._timer = self._loop.call_at(min(moments), self._fire) if moments else None

    def _fire(self) -> None:
        now = self._loop.time()
        if self._ends_at is not None and now >= self._ends_at:
            self._expire(f"the call took longer than {self._total_s:g} s in total (server.total_timeout)")
        elif self._limit_s is not None and now >= self._touched + self._limit_s:
            self._expire(f"no {self._name} within {self._limit_s:g} s ({self._setting})")
        else:
            self._arm()

    def _expire(self, message: str) -> None:
        self._expired = message
        self._scope.reschedule(self._loop.time())
