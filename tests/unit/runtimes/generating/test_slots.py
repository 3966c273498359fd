import asyncio

import pytest

from moorage.runtimes.generating.slots import Slots


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_permits_are_taken_and_given_back() -> None:
    slots = Slots(4)
    await slots.acquire(3)
    assert (slots.running, slots.free, slots.queued) == (3, 1, 0)
    slots.release(3)
    assert slots.running == 0


async def test_a_large_wish_is_served_in_its_turn() -> None:
    slots = Slots(4)
    await slots.acquire(2)
    order: list[str] = []

    async def take(name: str, permits: int) -> None:
        await slots.acquire(permits)
        order.append(name)

    large = asyncio.create_task(take("large", 4))
    await settle()
    small = asyncio.create_task(take("small", 1))
    await settle()
    assert order == []
    assert slots.queued == 2
    slots.release(2)
    await settle()
    assert order == ["large"]
    slots.release(4)
    await asyncio.gather(large, small)
    assert order == ["large", "small"]


async def test_one_that_leaves_the_queue_makes_room() -> None:
    slots = Slots(2)
    await slots.acquire(1)
    large = asyncio.create_task(slots.acquire(2))
    await settle()
    small = asyncio.create_task(slots.acquire(1))
    await settle()
    large.cancel()
    await asyncio.wait_for(small, 1)
    assert (slots.running, slots.queued) == (2, 0)


async def test_one_that_leaves_just_when_its_turn_comes_loses_no_permit() -> None:
    slots = Slots(1)
    await slots.acquire(1)
    first = asyncio.create_task(slots.acquire(1))
    await settle()
    slots.release(1)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert slots.free == 1
    await asyncio.wait_for(slots.acquire(1), 1)


@pytest.mark.parametrize("permits", [0, 3, -1])
async def test_wishes_that_cannot_be(permits: int) -> None:
    with pytest.raises(ValueError, match="permits"):
        await Slots(2).acquire(permits)
