import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.worker.scrape import parse

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


def test_labels_are_summed_and_what_is_no_number_is_unknown() -> None:
    assert parse(METRICS) == {
        "vllm:num_requests_running": 5.0,
        "llamacpp:n_decode_total": 17.0,
        "with_time": 4.0,
        "plain_time": 5.0,
    }


@given(st.text())
def test_any_text_is_survived(text: str) -> None:
    assert all(isinstance(value, float) for value in parse(text).values())


@pytest.mark.parametrize("text", ["", "\n\n", "{", "}", "} 1", "# only"])
def test_odd_lines(text: str) -> None:
    parse(text)
