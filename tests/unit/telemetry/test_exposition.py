import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from moorage.telemetry import exposition, replicas
from moorage.wire.control import Load
from moorage.wire.table import Settings, Snapshot, TargetRow

METRICS = """# HELP vllm:num_requests_running Running.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a } b {"} 2.0
vllm:num_requests_running{engine="1",model_name="x y"} 3
vllm:time_bucket{le="+Inf"} 9
llamacpp:n_decode_total 17
with_time{a="b"} 4 1700000000000
plain_time 5 1700000000000
nothing NaN
infinite +Inf
broken{a="b"}
words one
"""


def text_of(requests: float, in_flight: float, seconds: float) -> str:
    registry = CollectorRegistry()
    Counter("calls", 'Calls "ended".', ["model"], registry=registry).labels('a"b\\c\nd').inc(requests)
    Gauge("in_flight", "Now.", registry=registry).set(in_flight)
    Histogram("seconds", "Time.", buckets=(1, 5), registry=registry).observe(seconds)
    return generate_latest(registry).decode()


def test_counters_and_histograms_are_summed_and_gauges_told_apart() -> None:
    merged = exposition.merge({"0": text_of(2, 3, 0.5), "1": text_of(5, 7, 2.0)})
    assert 'calls_total{model="a\\"b\\\\c\\nd"} 7.0\n' in merged
    assert 'in_flight{process="0"} 3.0\n' in merged
    assert 'in_flight{process="1"} 7.0\n' in merged
    assert 'seconds_bucket{le="1.0"} 1.0\n' in merged
    assert 'seconds_bucket{le="+Inf"} 2.0\n' in merged
    assert "seconds_sum 2.5\n" in merged
    assert merged.count("# TYPE calls_total counter") == 1
    assert "_created" not in merged


def test_what_was_merged_can_be_read_again() -> None:
    merged = exposition.merge({"0": text_of(2, 3, 0.5)})
    values = exposition.read(merged)
    assert (values["calls_total"], values["in_flight"], values["seconds_count"]) == (2.0, 3.0, 1.0)


def test_what_an_engine_does_not_tell_is_left_out() -> None:
    target = TargetRow(id="r", model="m", generation=1, state="ready", reason="", since=0.0, engine="e", capacity=4)
    snapshot = Snapshot(epoch="e", seq=1, settings=Settings(), targets={"r": target}, loads={"r": Load(running=0.0)})
    text = replicas.exposition(snapshot)
    labels = 'model="m",replica="r",engine="e"'
    assert f"moorage_engine_running{{{labels}}} 0.0\n" in text
    assert f'moorage_replica_state{{{labels},state="ready"}} 1\n' in text
    assert "moorage_engine_queued" not in text
    assert "moorage_engine_kv_used_ratio" not in text


def test_labels_are_summed_and_what_is_no_number_is_unknown() -> None:
    assert exposition.read(METRICS) == {
        "vllm:num_requests_running": 5.0,
        "llamacpp:n_decode_total": 17.0,
        "with_time": 4.0,
        "plain_time": 5.0,
    }


@given(st.text())
def test_any_text_is_survived(text: str) -> None:
    assert all(isinstance(value, float) for value in exposition.read(text).values())


@pytest.mark.parametrize("text", ["", "\n\n", "{", "}", "} 1", "# only"])
def test_odd_lines(text: str) -> None:
    exposition.read(text)
