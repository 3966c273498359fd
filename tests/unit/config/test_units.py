import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.config.units import Unfit, duration_text, seconds, size_bytes, size_text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("30s", 30),
        ("5m", 300),
        ("1h30m", 5400),
        ("500ms", 0.5),
        ("168h", 604800),
        (2, 2),
        (1.5, 1.5),
        ("7", 7),
        (" 1d ", 86400),
    ],
)
def test_durations(text: object, wanted: float) -> None:
    assert seconds(text) == wanted


@pytest.mark.parametrize(
    "text", ["", "s", "5 m", "-1s", "1y", True, None, [], -1, float("nan"), float("inf"), "9" * 400, "٣s", 10**400]
)
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(Unfit, match="is not a duration"):
        seconds(text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("10MB", 10 * 1024**2),
        ("512KiB", 512 * 1024),
        ("1.5G", 3 * 512 * 1024**2),
        (7, 7),
        ("0", 0),
        ("2 tb", 2 * 1024**4),
    ],
)
def test_sizes(text: object, wanted: int) -> None:
    assert size_bytes(text) == wanted


@pytest.mark.parametrize("text", ["", "MB", "10XB", "-1", -1, True, None, 1.5, "9" * 400, "99999999TB", 2**60, "٣KB"])
def test_what_is_no_size(text: object) -> None:
    with pytest.raises(Unfit, match="is not a size"):
        size_bytes(text)


@given(st.floats(min_value=0, max_value=9e8, allow_subnormal=False))
def test_a_duration_survives_being_written(value: float) -> None:
    assert seconds(duration_text(value)) == value


@given(st.integers(min_value=0, max_value=2**52))
def test_a_size_survives_being_written(value: int) -> None:
    assert size_bytes(size_text(value)) == value


def test_units_are_written_short() -> None:
    assert [duration_text(value) for value in (0.0, 0.5, 75.0, 300.0, 3600.0, 1.25)] == [
        "0s",
        "500ms",
        "75s",
        "5m",
        "1h",
        "1.25s",
    ]
    assert [size_text(value) for value in (0, 100, 65536, 10 * 1024**2)] == ["0", "100", "64KB", "10MB"]
