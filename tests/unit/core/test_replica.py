import itertools
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.config.model import EngineOptions, ModelSpec
from moorage.core.replica import (
    BACKOFF_MAX_S,
    FAILED_STARTS_MAX,
    OWNER,
    QUICK_RETRIES_S,
    STEADY_S,
    Restarts,
    allowed,
    fingerprint,
)
from moorage.wire.names import ReplicaState

STATES: tuple[ReplicaState, ...] = get_args(ReplicaState)
EVENTS = st.lists(st.one_of(st.just("failed"), st.just("delayed"), st.floats(0, 3600)), max_size=60)


def test_every_state_has_one_owner() -> None:
    assert set(OWNER) == set(STATES)


@given(st.sampled_from(STATES))
def test_a_worker_may_fall_silent_in_any_state_and_come_back_in_any(state: ReplicaState) -> None:
    assert allowed(state, "unreachable")
    assert allowed("unreachable", state)


@pytest.mark.parametrize(
    ("old", "new"),
    [("stopped", "ready"), ("draining", "ready"), ("ready", "downloading"), ("ready", "pending"), ("failed", "ready")],
)
def test_impossible_changes(old: ReplicaState, new: ReplicaState) -> None:
    assert not allowed(old, new)


def test_the_usual_life() -> None:
    life: list[ReplicaState] = [
        *("pending", "scheduled", "downloading", "starting", "ready", "failed", "downloading", "starting"),
        *("failed", "starting", "ready", "draining", "stopped"),
    ]
    assert all(allowed(old, new) for old, new in itertools.pairwise(life))


def test_five_failed_starts_wait_longer_each_and_then_stop() -> None:
    restarts = Restarts()
    delays: list[float | None] = []
    for _ in range(FAILED_STARTS_MAX):
        restarts, delay_s = restarts.start_failed()
        delays.append(delay_s)
    assert delays == [10, 20, 40, 80, None]


def test_single_crashes_are_back_at_once_and_a_crash_loop_backs_off() -> None:
    restarts = Restarts()
    delays: list[float] = []
    for _ in range(10):
        restarts, delay_s = restarts.crashed(ready_for_s=1.0)
        delays.append(delay_s)
    assert delays == [*QUICK_RETRIES_S, 10, 20, 40, 80, 160, 300, 300]


@given(EVENTS)
def test_steady_service_forgets_all_trouble(events: list[str | float]) -> None:
    restarts = Restarts()
    for event in events:
        restarts, _ = _after(restarts, event)
    _, delay_s = restarts.crashed(ready_for_s=STEADY_S)
    assert delay_s == QUICK_RETRIES_S[0]


@given(EVENTS)
def test_delays_stay_in_bounds_and_only_failed_starts_in_a_row_stop(events: list[str | float]) -> None:
    restarts, row = Restarts(), 0
    for event in events:
        restarts, delay_s = _after(restarts, event)
        row = row + 1 if event == "failed" else row if event == "delayed" else 0
        assert restarts.failed_starts == row
        assert (delay_s is None) == (event == "failed" and row >= FAILED_STARTS_MAX)
        assert delay_s is None or QUICK_RETRIES_S[0] <= delay_s <= BACKOFF_MAX_S


@given(st.dictionaries(st.sampled_from(["name", "source", "options", "task"]), st.integers()), st.integers())
def test_only_what_the_engine_depends_on_is_in_the_fingerprint(model: dict[str, int], value: int) -> None:
    assert fingerprint(model) == fingerprint({**model, "aliases": value, "replicas": value, "queue_size": value})
    assert fingerprint({**model, "source": f"{value}/new"}) != fingerprint(model)
    assert fingerprint(dict(reversed(model.items()))) == fingerprint(model)


def test_an_option_that_is_new_and_left_out_is_no_change() -> None:
    """A record of an older version has fewer fields."""
    whole = ModelSpec(name="m", source="s", options=EngineOptions(max_model_len=64)).model_dump(mode="json")
    older = {"name": "m", "source": "s", "engine": "auto", "options": {"max_model_len": 64, "prefix_caching": True}}
    assert fingerprint(older) == fingerprint(whole)
    assert fingerprint({"name": "m", "source": "s"}) == fingerprint({**older, "options": {"lora": {"a": "b"}}})
    assert fingerprint({**older, "options": {"max_model_len": 64, "cuda_graphs": False}}) != fingerprint(whole)


def _after(restarts: Restarts, event: str | float) -> tuple[Restarts, float | None]:
    if event == "failed":
        return restarts.start_failed()
    if event == "delayed":
        return restarts.delayed()
    assert isinstance(event, float)
    return restarts.crashed(event)
