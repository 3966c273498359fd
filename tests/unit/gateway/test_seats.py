from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from moorage.gateway.seats import COLUMNS, Seats
from moorage.wire.table import TargetRow

TARGET = TargetRow(id="a", model="m", generation=1, state="ready", reason="", since=0.0, capacity=4, seat=7)


def test_all_processes_together_have_the_capacity_and_one(short_tmp: Path) -> None:
    page = str(short_tmp / "seats")
    first, second = (Seats(index, 2, page) for index in range(2))
    taken = [seats.take(TARGET) for seats in (first, second, first, first, second, second, first)]
    assert taken == [True, True, True, True, True, False, False]
    assert first.in_use(TARGET) == second.in_use(TARGET) == 5
    assert first.load(TARGET) == 1.0
    second.give_back(TARGET)
    assert first.take(TARGET)


def test_a_process_that_comes_back_gives_up_what_it_held(short_tmp: Path) -> None:
    page = str(short_tmp / "seats")
    first, second = (Seats(index, 2, page) for index in range(2))
    assert first.take(TARGET)
    assert second.take(TARGET)
    again = Seats(1, 2, page)
    assert again.in_use(TARGET) == first.in_use(TARGET) == 1


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=60))
def test_the_sum_never_exceeds_the_limit(steps: list[tuple[int, bool]]) -> None:
    private = Seats(0, 1)
    held = 0
    for seat, take in steps:
        target = TargetRow(
            id="a", model="m", generation=1, state="ready", reason="", since=0.0, capacity=2, seat=seat * COLUMNS
        )
        if take:
            held += private.take(target)
        elif held:
            private.give_back(target)
            held -= 1
        assert private.in_use(target) == held <= 3
