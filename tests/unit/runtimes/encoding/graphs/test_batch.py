"""Batching with a computation of the test's own, on the real thread."""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

import numpy as np
import pytest

from moorage.errors import InternalError, Overloaded
from moorage.runtimes.encoding.graphs import batch
from moorage.runtimes.encoding.graphs.batch import STEP_S, WAITING_STEPS, Batcher
from moorage.runtimes.encoding.graphs.session import Stop, Stopped
from moorage.runtimes.encoding.port import Item, Kind, Numbers


class Work:
    """Gives each item's first token back; waits while it is held."""

    def __init__(self) -> None:
        self.steps: list[list[int]] = []
        self.free = threading.Event()
        self.free.set()
        self.held: set[int] = set()
        """First tokens of items whose steps wait."""
        self.error: Exception | None = None
        self.token_s = 0.0

    def __call__(self, kind: Kind, items: Sequence[Item], stop: Stop) -> list[Numbers]:
        self.steps.append([item.ids[0] for item in items])
        while not self.free.is_set() or self.held.intersection(self.steps[-1]):
            if stop.is_set:
                raise Stopped
            time.sleep(0.001)
        time.sleep(self.token_s * sum(len(item.ids) for item in items))
        if self.error is not None:
            raise self.error
        return [np.array([item.ids[0]], np.float32) for item in items]


@asynccontextmanager
async def batching(work: Work, batch_tokens: int = 100, max_calls: int = 8) -> AsyncGenerator[Batcher]:
    batcher = Batcher(work, batch_tokens=batch_tokens, max_calls=max_calls)
    batcher.start()
    try:
        yield batcher
    finally:
        work.free.set()
        batcher.stop()


def items(*first: int, length: int = 10) -> list[Item]:
    return [Item([number] * length) for number in first]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


async def test_results_come_in_the_order_of_the_call() -> None:
    async with batching(Work()) as batcher:
        given = [Item([number] * (1 + number * 7 % 20)) for number in range(50)]
        found = await batcher.run("embed", given)
    assert [int(row[0]) for row in found] == list(range(50))
    assert batcher.counters.texts == 50
    assert batcher.counters.steps < 50
    assert batcher.counters.tokens == sum(len(item.ids) for item in given)


async def test_calls_share_a_step() -> None:
    work = Work()
    work.free.clear()
    async with batching(work) as batcher:
        first = asyncio.create_task(batcher.run("embed", items(0)))
        await until(lambda: bool(work.steps))
        others = [asyncio.create_task(batcher.run("embed", items(number))) for number in range(1, 6)]
        await until(lambda: batcher.texts_waiting == 5)
        work.free.set()
        found = await asyncio.gather(first, *others)
    assert work.steps == [[0], [1, 2, 3, 4, 5]]
    assert [int(rows[0][0]) for rows in found] == list(range(6))


async def test_who_leaves_takes_its_texts_along() -> None:
    work = Work()
    work.free.clear()
    async with batching(work, batch_tokens=20) as batcher:
        first = asyncio.create_task(batcher.run("embed", items(0)))
        await until(lambda: bool(work.steps))
        leaver = asyncio.create_task(batcher.run("embed", items(*range(100, 200))))
        stayer = asyncio.create_task(batcher.run("embed", items(7)))
        await until(lambda: batcher.texts_waiting > 1)
        leaver.cancel()
        await asyncio.gather(leaver, return_exceptions=True)
        assert batcher.texts_waiting == 1
        work.free.set()
        await asyncio.gather(first, stayer)
    assert work.steps == [[0], [7]]
    assert (batcher.counters.cancelled, batcher.counters.finished, batcher.running) == (1, 2, 0)


async def test_a_step_for_nobody_ends_at_once() -> None:
    work = Work()
    work.free.clear()
    async with batching(work) as batcher:
        leaver = asyncio.create_task(batcher.run("embed", items(1)))
        await until(lambda: bool(work.steps))
        stayer = asyncio.create_task(batcher.run("embed", items(2)))
        leaver.cancel()
        await until(lambda: len(work.steps) == 2)
        work.free.set()
        assert [int(row[0]) for row in await stayer] == [2]
    assert work.steps == [[1], [2]]


async def test_a_step_that_somebody_still_wants_goes_on() -> None:
    work = Work()
    work.free.clear()
    async with batching(work) as batcher:
        held = asyncio.create_task(batcher.run("embed", items(0)))
        await until(lambda: bool(work.steps))
        leaver = asyncio.create_task(batcher.run("embed", items(1)))
        stayer = asyncio.create_task(batcher.run("embed", items(2)))
        await until(lambda: batcher.texts_waiting == 2)
        work.held = {1}
        work.free.set()
        await until(lambda: len(work.steps) == 2)
        leaver.cancel()
        await asyncio.sleep(0.02)
        work.held = set()
        assert [int(row[0]) for row in await stayer] == [2]
        await held
    assert work.steps == [[0], [1, 2]]


async def test_one_call_does_not_fill_the_queue() -> None:
    work = Work()
    work.free.clear()
    async with batching(work, batch_tokens=50) as batcher:
        large = asyncio.create_task(batcher.run("embed", items(*range(1000))))
        await until(lambda: bool(work.steps))
        assert batcher.texts_waiting <= WAITING_STEPS * 5 + 1
        small = asyncio.create_task(batcher.run("embed", items(5000)))
        await until(lambda: batcher.running == 2)
        work.free.set()
        await small
        assert [5000 in step for step in work.steps].index(True) <= WAITING_STEPS + 2
        assert len(await large) == 1000
    assert sorted(number for step in work.steps for number in step) == [*range(1000), 5000]


async def test_calls_beyond_the_places_wait_in_order() -> None:
    work = Work()
    work.free.clear()
    async with batching(work, max_calls=2) as batcher:
        calls = [asyncio.create_task(batcher.run("embed", items(number))) for number in range(5)]
        await until(lambda: batcher.queued == 3)
        assert batcher.running == 2
        calls[3].cancel()
        await until(lambda: batcher.queued == 2)
        work.free.set()
        await asyncio.gather(*calls, return_exceptions=True)
        assert (batcher.running, batcher.queued) == (0, 0)
    assert [number for step in work.steps for number in step] == [0, 1, 2, 4]


async def test_nothing_waits_without_bound() -> None:
    work = Work()
    work.free.clear()
    async with batching(work, max_calls=1) as batcher:
        calls = [asyncio.create_task(batcher.run("embed", items(0))) for _ in range(batch.CALLS_WAITING_MAX + 1)]
        await until(lambda: batcher.queued == batch.CALLS_WAITING_MAX)
        with pytest.raises(Overloaded):
            await batcher.run("embed", items(0))
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert (batcher.running, batcher.queued) == (0, 0)


async def test_a_failed_step_fails_its_calls_and_no_others(capfd: pytest.CaptureFixture[str]) -> None:
    work = Work()
    async with batching(work) as batcher:
        work.error = InternalError("ONNX Runtime failed: no memory")
        with pytest.raises(InternalError, match="no memory"):
            await batcher.run("embed", items(1))
        work.error = KeyError("a bug")
        with pytest.raises(InternalError, match="KeyError"):
            await batcher.run("embed", items(2))
        work.error = None
        assert len(await batcher.run("embed", items(3))) == 1
        assert (batcher.counters.failed, batcher.counters.finished) == (2, 1)
    assert "a bug" in capfd.readouterr().err


async def test_steps_get_smaller_where_they_take_long() -> None:
    work = Work()
    work.token_s = 0.0005
    async with batching(work, batch_tokens=1000) as batcher:
        await batcher.run("embed", items(*range(200)))
    assert len(work.steps[0]) == 100
    longest = max(len(step) for step in work.steps[1:])
    assert longest * 10 * work.token_s < 1.5 * STEP_S


async def test_stopping_ends_a_step_and_is_harmless_twice() -> None:
    work = Work()
    work.free.clear()
    batcher = Batcher(work, batch_tokens=100, max_calls=2)
    batcher.stop()
    batcher = Batcher(work, batch_tokens=100, max_calls=2)
    batcher.start()
    call = asyncio.create_task(batcher.run("embed", items(1)))
    await until(lambda: bool(work.steps))
    batcher.stop()
    batcher.stop()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
