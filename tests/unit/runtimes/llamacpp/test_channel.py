import asyncio
import threading

import pytest

from moorage.errors import InternalError
from moorage.runtimes.llamacpp.channel import LIMIT, Channel, Event


async def read(channel: Channel) -> list[Event]:
    return [event async for batch in channel.batches() for event in batch]


async def test_all_events_arrive_in_order() -> None:
    channel = Channel(asyncio.get_running_loop())

    def produce() -> None:
        for number in range(5 * LIMIT):
            assert not channel.put({"number": number})
        channel.close()

    thread = threading.Thread(target=produce)
    thread.start()
    events = await read(channel)
    thread.join()
    assert [event["number"] for event in events] == list(range(5 * LIMIT))


async def test_events_that_gathered_are_one_batch() -> None:
    channel = Channel(asyncio.get_running_loop())
    for number in range(10):
        channel.put({"number": number})
    channel.close()
    assert [len(batch) async for batch in channel.batches()] == [10]


async def test_a_slow_reader_holds_the_thread_until_it_leaves() -> None:
    channel = Channel(asyncio.get_running_loop())
    put: list[bool] = []

    def produce() -> None:
        while not channel.put({}):
            put.append(True)
        channel.close()

    thread = threading.Thread(target=produce)
    thread.start()
    await asyncio.sleep(0.1)
    assert len(put) == LIMIT
    assert thread.is_alive()
    channel.cancel()
    await asyncio.to_thread(thread.join, 5)
    assert not thread.is_alive()
    assert channel.put({}) is True


async def test_an_error_comes_after_the_events() -> None:
    channel = Channel(asyncio.get_running_loop())
    channel.put({"number": 1})
    channel.close(InternalError("it broke"))
    seen: list[Event] = []
    with pytest.raises(InternalError, match="it broke"):
        async for batch in channel.batches():
            seen += batch
    assert seen == [{"number": 1}]
