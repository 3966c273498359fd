import asyncio
import time

import pytest

from moorage.errors import DeadlineExceeded
from moorage.http.deadline import Deadline


async def test_a_phase_that_outlasts_its_limit_names_its_setting() -> None:
    with pytest.raises(DeadlineExceeded, match=r"no first token within 0.05 s \(server.request_timeout\)"):
        async with Deadline() as deadline:
            deadline.phase("first token", 0.05, "server.request_timeout")
            await asyncio.sleep(5)


async def test_touching_keeps_a_phase_alive_and_stopping_ends_it() -> None:
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded, match=r"no token within 0\.1 s"):
        async with Deadline() as deadline:
            deadline.phase("token", 0.1, "server.token_timeout")
            for _ in range(6):
                await asyncio.sleep(0.04)
                deadline.touch()
            await asyncio.sleep(5)
    assert 0.33 <= time.monotonic() - began < 1


async def test_the_total_ends_even_what_makes_progress() -> None:
    with pytest.raises(DeadlineExceeded, match=r"longer than 0\.1 s in total"):
        async with Deadline(0.1) as deadline:
            deadline.phase("token", 0.05, "server.token_timeout")
            while True:
                await asyncio.sleep(0.01)
                deadline.touch()


async def test_what_ends_in_time_and_what_is_cancelled_are_left_alone() -> None:
    async with Deadline(0.2) as deadline:
        deadline.phase("reply", 0.2, "x")
    await asyncio.sleep(0.25)

    async def work() -> None:
        async with Deadline(5) as deadline:
            deadline.phase("reply", 5, "x")
            await asyncio.sleep(5)

    task = asyncio.create_task(work())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
