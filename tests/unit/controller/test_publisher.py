import msgspec

from moorage.controller.publisher import BACKLOG, Publisher, Reader
from moorage.wire import table
from moorage.wire.table import Change, ModelRow, Settings, Snapshot

EMPTY = Snapshot(epoch="", seq=0, settings=Settings())


def with_models(publisher: Publisher, *names: str) -> Snapshot:
    rows = {name: ModelRow(id=name, names=(name,), task=None, created=0) for name in names}
    return msgspec.structs.replace(publisher.current, models=rows)


async def test_a_reader_that_applies_every_line_has_the_table() -> None:
    publisher = Publisher(EMPTY)
    stream = publisher.follow(Reader("0", 1))
    current = table.decode(await anext(stream))
    assert isinstance(current, Snapshot)
    for names in (("a",), ("a", "b"), ("a", "b"), ("b",)):
        publisher.publish(with_models(publisher, *names))
        change = table.decode(await anext(stream))
        assert isinstance(change, Change)
        current = table.apply(current, change)
        assert current == publisher.current
    await stream.aclose()
    assert not publisher.readers


async def test_a_reader_that_does_not_read_is_cut_off() -> None:
    publisher = Publisher(EMPTY)
    stream = publisher.follow(Reader("0", 1))
    await anext(stream)
    for _ in range(BACKLOG + 1):
        publisher.publish(publisher.current)
    assert not publisher.readers
    assert len([line async for line in stream]) <= BACKLOG
