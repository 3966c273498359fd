import random

from moorage.runtimes.encoding.graphs.queue import LIKE, SLACK, Queue, Waiting
from moorage.runtimes.encoding.port import Item, Kind


def waiting(length: int, index: int = 0, kind: Kind = "embed") -> Waiting:
    return Waiting(None, index, kind, Item([1] * length))


def lengths(step: list[Waiting]) -> list[int]:
    return [entry.length for entry in step]


def test_nothing_waits() -> None:
    assert Queue().take(100) == []


def test_the_oldest_goes_with_what_is_like_it() -> None:
    queue = Queue()
    for length in (10, 200, 11, 9, 190, 100):
        queue.add(waiting(length))
    assert lengths(queue.take(1000)) == [9, 10, 11]
    assert lengths(queue.take(1000)) == [190, 200]
    assert lengths(queue.take(1000)) == [100]
    assert len(queue) == 0


def test_a_step_is_full_with_its_padding() -> None:
    queue = Queue()
    for length in (10, 10, 10, 12, 12):
        queue.add(waiting(length))
    step = queue.take(36)
    assert lengths(step) == [10, 10, 10]
    assert lengths(queue.take(24)) == [12, 12]


def test_one_text_goes_however_long_it_is() -> None:
    queue = Queue()
    queue.add(waiting(500))
    queue.add(waiting(500))
    assert lengths(queue.take(100)) == [500]


def test_kinds_are_not_mixed() -> None:
    queue = Queue()
    queue.add(waiting(5))
    queue.add(waiting(5, kind="token_embed"))
    queue.add(waiting(5))
    assert [entry.kind for entry in queue.take(100)] == ["embed", "embed"]
    assert [entry.kind for entry in queue.take(100)] == ["token_embed"]


def test_what_was_removed_never_goes() -> None:
    queue = Queue()
    numbers = [queue.add(waiting(5, index)) for index in range(4)]
    queue.remove(numbers[0])
    queue.remove(numbers[2])
    queue.remove(numbers[2])
    assert sorted(entry.index for entry in queue.take(100)) == [1, 3]
    queue.remove(numbers[1])
    assert queue.take(100) == []


def test_nobody_is_left_behind() -> None:
    """Whatever comes in between, each step has the oldest; all go, once, in steps that keep their bounds."""
    chance = random.Random(1)
    queue = Queue()
    expected: list[int] = []
    seen: list[int] = []
    for index in range(2000):
        queue.add(waiting(chance.choice((3, 8, 30, 120, 250)) + chance.randint(0, 5), index))
        expected.append(index)
        if chance.random() < 0.4:
            step = queue.take(512)
            taken = {entry.index for entry in step}
            assert expected[0] in taken
            expected = [other for other in expected if other not in taken]
            seen += taken
            longest, shortest = max(lengths(step)), min(lengths(step))
            assert len(step) == 1 or len(step) * longest <= 512
            assert longest <= LIKE * shortest + SLACK
    while step := queue.take(512):
        seen += [entry.index for entry in step]
    assert sorted(seen) == list(range(2000))
