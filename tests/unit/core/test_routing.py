import msgspec
from hypothesis import given
from hypothesis import strategies as st

from moorage.core.placement import Candidate, place
from moorage.core.routing import key_of, least_loaded
from moorage.wire.table import TargetRow

TARGET = TargetRow(id="a", model="m", generation=1, state="ready", reason="", since=0.0, capacity=4)


@given(st.dictionaries(st.sampled_from("abcd"), st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.25]), max_size=4))
def test_the_least_loaded_target_is_chosen_while_one_has_a_seat(loads: dict[str, float]) -> None:
    targets = [msgspec.structs.replace(TARGET, id=name) for name in loads]
    chosen = least_loaded(targets, lambda target: loads[target.id])
    assert (chosen is None) == all(load >= 1 for load in loads.values())
    if chosen is not None:
        assert loads[chosen.id] == min(loads.values())


def test_a_restarted_engine_is_another_target() -> None:
    assert key_of(TARGET) != key_of(msgspec.structs.replace(TARGET, generation=2))


def test_placement_explains_itself() -> None:
    assert place([]).why == "no worker has joined yet"
    away = Candidate(worker="w1", reachable=False, replicas=0)
    assert place([away]).worker is None
    assert "w1" in place([away]).why
    busy, idle = (Candidate(worker=w, reachable=True, replicas=n) for w, n in (("w2", 3), ("w3", 1)))
    assert place([away, busy, idle]).worker == "w3"
