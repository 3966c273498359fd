from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.config.model import EngineOptions
from moorage.core.ports import Diagnosis
from moorage.core.remedies import (
    HALF,
    REMEDIES_MAX,
    SIZES,
    Remedy,
    applied,
    changes,
    decide,
    with_remedies,
)

USED = {"max_model_len": 32768, "max_sequences": 4}
OPTIONS = st.sampled_from(
    ["max_model_len", "max_sequences", "batch_tokens", "kv_cache_dtype", "cuda_graphs", "port", "extra_args.x", "env.X"]
)
VALUES = st.one_of(
    st.integers(-(1 << 20), 1 << 20).map(str), st.sampled_from([HALF, "f16", "q8_0", "false", "another", "", "None"])
)


def diagnosis(**remedy: str) -> Diagnosis:
    return Diagnosis("the KV cache does not fit", "lower it", "x.kv", "https://example.org/1", remedy)


def remedy_of(remedy: dict[str, str], options: EngineOptions | None = None, **more: Any) -> Remedy | None:
    settings: dict[str, Any] = {"promised": (), "used": USED, **more}
    return decide(diagnosis(**remedy), options or EngineOptions(), **settings).remedy


@given(
    st.dictionaries(OPTIONS, VALUES, max_size=4),
    st.sets(OPTIONS),
    st.integers(64, 1 << 20),
    st.integers(1, 256),
    st.integers(0, 4),
)
def test_whatever_a_log_says_promises_are_kept_sizes_shrink_and_tries_end(
    remedy: dict[str, str], promised: set[str], length: int, calls: int, tries: int
) -> None:
    options = EngineOptions(max_model_len=length if "max_model_len" in promised else None)
    used = {"max_model_len": length, "max_sequences": calls}
    tried: list[Remedy] = []
    for _ in range(REMEDIES_MAX + tries):
        now = with_remedies(options, tried)
        decision = decide(diagnosis(**remedy), now, promised=promised, used=used, tried=tried)
        found = decision.remedy
        if found is None:
            break
        assert not set(found.options) & promised
        after = applied(now, found.options)
        assert after is not None
        for size in SIZES & set(found.options):
            before = used.get(size) or getattr(now, size)
            assert before is None or found.options[size] < before
        tried.append(found)
        used = {**used, **{name: value for name, value in found.options.items() if name in used}}
    assert len(tried) <= REMEDIES_MAX
    assert len({str(one.options) for one in tried}) == len(tried)
    final = with_remedies(options, tried)
    touched = {name.partition(".")[0] for one in tried for name in one.options}
    for name in EngineOptions.model_fields:
        if name not in touched:
            assert getattr(final, name) == getattr(options, name)


def test_a_remedy_says_what_was_changed_and_why() -> None:
    remedy = remedy_of({"max_model_len": "8192"})
    assert str(remedy) == (
        "options.max_model_len 8192 instead of 32768: the KV cache does not fit (x.kv, https://example.org/1)"
    )


def test_half_can_be_taken_twice_and_then_no_more() -> None:
    used, tried = dict(USED), list[Remedy]()
    for length in (16384, 8192):
        remedy = remedy_of({"max_model_len": HALF}, used=used, tried=tried)
        assert remedy is not None
        assert remedy.options == {"max_model_len": length}
        tried.append(remedy)
        used["max_model_len"] = length
    assert remedy_of({"max_model_len": HALF}, used=used, tried=tried) is None


def test_what_the_user_wrote_is_kept_and_said() -> None:
    options = EngineOptions(kv_cache_dtype="q8_0")
    decision = decide(diagnosis(kv_cache_dtype="f16"), options, promised={"kv_cache_dtype"}, used=USED)
    assert decision.remedy is None
    assert decision.why_not == ("options.kv_cache_dtype f16 may work; not tried, because the configuration says q8_0")


@pytest.mark.parametrize(
    ("remedy", "changed"),
    [
        ({"cuda_graphs": "false"}, {"cuda_graphs": False}),
        ({"port": "another"}, {"port": "another"}),
        ({"extra_args.disable-x": "true"}, {"extra_args.disable-x": True}),
        ({"env.NCCL_P2P_DISABLE": "1"}, {"env.NCCL_P2P_DISABLE": "1"}),
        ({"memory_fraction": "0.5"}, {"memory_fraction": 0.5}),
        ({"max_model_len": "8192", "max_sequences": "8"}, {"max_model_len": 8192}),
    ],
)
def test_values_are_those_of_the_options(remedy: dict[str, str], changed: dict[str, Any]) -> None:
    found = remedy_of(remedy)
    assert found is not None
    assert found.options == changed
    assert applied(EngineOptions(), found.options) is not None


@pytest.mark.parametrize(
    "remedy",
    [
        {},
        {"max_model_len": "65536"},
        {"max_model_len": "32768"},
        {"max_model_len": "3"},
        {"max_model_len": "many"},
        {"batch_tokens": HALF},
        {"kv_cache_dtype": "auto"},
        {"kv_cache_dtype": "int3"},
        {"no_such_option": "1"},
    ],
)
def test_what_changes_nothing_or_is_nonsense_is_no_remedy(remedy: dict[str, str]) -> None:
    assert remedy_of(remedy) is None


def test_entries_of_maps_are_added_to_what_is_there() -> None:
    options = EngineOptions(env={"A": "1"}, extra_args={"b": 2})
    after = applied(options, {"env.X": "1", "extra_args.c": True})
    assert after is not None
    assert (after.env, after.extra_args) == ({"A": "1", "X": "1"}, {"b": 2, "c": True})
    assert options.env == {"A": "1"}


def test_several_changes_are_one_sentence() -> None:
    assert changes({"port": "another", "cuda_graphs": False}, {"cuda_graphs": True}) == (
        "another port and options.cuda_graphs false instead of true"
    )


def test_no_diagnosis_is_no_remedy() -> None:
    assert decide(None, EngineOptions(), promised=(), used={}).remedy is None
