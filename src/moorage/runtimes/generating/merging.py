"""Several works of one call at once."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import TypeVar

from moorage.errors import MoorageError

W = TypeVar("W")
E = TypeVar("E")


async def merged(
    works: Sequence[W], events: Callable[[W], AsyncGenerator[E]], at_once: int
) -> AsyncGenerator[tuple[W, E]]:
    """What `events` gives of each work, begun in order, no more than `at_once`: one large call cannot fill the queue.

    Leaving early leaves all of them.
    """
    if len(works) == 1:
        async with aclosing(events(works[0])) as batches:
            async for batch in batches:
                yield works[0], batch
        return
    queue: asyncio.Queue[tuple[W, E] | None] = asyncio.Queue(64)
    pending = deque(works)

    async def lane() -> None:
        while pending:
            work = pending.popleft()
            async with aclosing(events(work)) as batches:
                async for batch in batches:
                    await queue.put((work, batch))

    async def all_lanes() -> None:
        failures: list[BaseException] = []
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(len(works), at_once)):
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
