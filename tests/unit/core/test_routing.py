import msgspec
from hypothesis import given
from hypothesis import strategies as st

from moorage.core.placement import Candidate, place
from moorage.core.routing import key_of, least_loaded, seats
from moorage.wire.table import TargetRow

TARGET = TargetRow(id="a", model="m", generation=1, state="ready", reason="", since=0.0, capacity=4)


def row(name: str, capacity: int) -> TargetRow:
    return msgspec.structs.replace(TARGET, id=name, capacity=capacity)


def test_seats_are_a_processes_share_and_one() -> None:
    assert seats(row("a", 4), 1) == 5
    assert seats(row("a", 4), 3) == 3
    assert seats(row("a", 1), 8) == 2
    assert seats(row("a", 0), 1) == 2


@given(st.dictionaries(st.sampled_from("abcd"), st.tuples(st.integers(0, 8), st.integers(0, 12)), max_size=4))
def test_a_target_is_chosen_exactly_while_a_seat_is_free(known: dict[str, tuple[int, int]]) -> None:
    targets = [row(name, capacity) for name, (capacity, _) in known.items()]
    used = {name: in_use for name, (_, in_use) in known.items()}
    chosen = least_loaded(targets, lambda target: used[target.id], 1)
    free = [target for target in targets if used[target.id] < seats(target, 1)]
    assert (chosen is None) == (not free)
    if chosen is not None:
        assert used[chosen.id] / seats(chosen, 1) == min(used[t.id] / seats(t, 1) for t in free)


def test_a_restarted_engine_is_another_target() -> None:
    assert key_of(TARGET) != key_of(msgspec.structs.replace(TARGET, generation=2))


def test_placement_explains_itself() -> None:
    assert place([]).why == "no worker has joined yet"
    away = Candidate(worker="w1", reachable=False, replicas=0)
    assert place([away]).worker is None
    assert "w1" in place([away]).why
    busy, idle = (Candidate(worker=w, reachable=True, replicas=n) for w, n in (("w2", 3), ("w3", 1)))
    assert place([away, busy, idle]).worker == "w3"
