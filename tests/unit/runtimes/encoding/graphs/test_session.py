import pytest

from moorage.runtimes.encoding.graphs.session import Stop, Stopped


def test_a_run_is_ended_while_it_lasts() -> None:
    stop, ended = Stop(), list[str]()
    with stop.ending(lambda: ended.append("first")):
        stop.set()
    assert ended == ["first"]
    assert stop.is_set


def test_what_is_over_is_not_ended() -> None:
    stop, ended = Stop(), list[str]()
    with stop.ending(lambda: ended.append("first")):
        pass
    stop.set()
    assert ended == []


def test_nothing_begins_after_the_stop() -> None:
    stop = Stop()
    stop.set()
    with pytest.raises(Stopped), stop.ending(lambda: None):
        raise AssertionError("it began")


def test_a_run_that_fails_is_over() -> None:
    stop, ended = Stop(), list[str]()
    with pytest.raises(RuntimeError), stop.ending(lambda: ended.append("first")):
        raise RuntimeError("no memory")
    stop.set()
    assert ended == []
