"""Calls to the library: admitted in order, run on threads, streamed inside, cancelled when nobody reads any more."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from moorage.errors import MoorageError
from moorage.runtimes.generating.slots import Slots
from moorage.runtimes.host.metrics import Counters
from moorage.runtimes.llamacpp.channel import Channel, Event
from moorage.runtimes.llamacpp.library import Kind, Library, Whole


@dataclass
class TextCounters(Counters):
    tokens: int = 0


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

    async def merged(self, works: Sequence[Work]) -> AsyncGenerator[tuple[Work, list[Event]]]:
        """Several works at once, no more than there are slots, so that one large call cannot fill the queue."""
        if len(works) == 1:
            async with aclosing(self.events(works[0])) as batches:
                async for batch in batches:
                    yield works[0], batch
            return
        queue: asyncio.Queue[tuple[Work, list[Event]] | None] = asyncio.Queue(64)
        pending = deque(works)

        async def lane() -> None:
            while pending:
                work = pending.popleft()
                async with aclosing(self.events(work)) as batches:
                    async for batch in batches:
                        await queue.put((work, batch))

        async def all_lanes() -> None:
            failures: list[BaseException] = []
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(min(len(works), self.slots.total)):
                        group.create_task(lane())
            except* MoorageError as errors:
                failures.extend(errors.exceptions)
            await queue.put(None)
            if failures:
                raise failures[0]

        lanes = asyncio.create_task(all_lanes())
        try:
            while (item := await queue.get()) is not None:
                yield item
            await lanes
        finally:
            lanes.cancel()
            await asyncio.gather(lanes, return_exceptions=True)

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
