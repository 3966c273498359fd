"""Calls to the library: admitted in order, run on threads, streamed inside, cancelled when nobody reads any more."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from moorage.errors import MoorageError
from moorage.runtimes.generating.counters import TextCounters
from moorage.runtimes.generating.merging import merged
from moorage.runtimes.generating.slots import Slots
from moorage.runtimes.llamacpp.channel import Channel, Event
from moorage.runtimes.llamacpp.library import Kind, Library, Whole


@dataclass(frozen=True)
class Work:
    """One streamed call to the library: some choices of one prompt."""

    kind: Kind
    body: Event
    choices: int = 1
    prompt: int = 0
    """Which prompt of the client's call."""
    offset: int = 0
    """The client's index of this work's first choice."""


@dataclass
class Caller:
    library: Library
    slots: Slots
    counters: TextCounters = field(default_factory=TextCounters)

    def __post_init__(self) -> None:
        # One thread a slot, plus those of cancelled calls that still return.
        self._pool = ThreadPoolExecutor(self.slots.total * 2, thread_name_prefix="call")

    async def events(self, work: Work) -> AsyncGenerator[list[Event]]:
        """The library's events for one work, in batches. Leaving early stops the library at its next step."""
        await self.slots.acquire(work.choices)
        channel = Channel(asyncio.get_running_loop())
        self._start(work.choices, self.library.stream, work.kind, work.body, channel)
        self.counters.calls += 1
        try:
            async for batch in channel.batches():
                yield batch
            self.counters.finished += 1
        except MoorageError:
            self.counters.failed += 1
            raise
        except (asyncio.CancelledError, GeneratorExit):
            self.counters.cancelled += 1
            raise
        finally:
            channel.cancel()

    def merged(self, works: Sequence[Work]) -> AsyncGenerator[tuple[Work, list[Event]]]:
        """Several works at once."""
        return merged(works, self.events, self.slots.total)

    async def once(self, kind: Whole, body: Event) -> Event:
        """One whole call. It cannot be interrupted: its slot is free again when it is over, whoever waits."""
        await self.slots.acquire(1)
        self.counters.calls += 1
        reply: Event = await asyncio.wrap_future(self._start(1, self.library.once, kind, body))
        self.counters.finished += 1
        return reply

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _start(self, permits: int, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        loop = asyncio.get_running_loop()
        future = self._pool.submit(function, *arguments)

        def give_back(_: Future[Any]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self.slots.release, permits)

        future.add_done_callback(give_back)
        return future
