from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("faster_whisper", reason="speech needs its extra: pip install 'moorage[speech]'")

from hypothesis import given, settings
from hypothesis import strategies as st

from moorage.runtimes.whisper.audio import SAMPLE_RATE, Samples
from moorage.runtimes.whisper.windows import WINDOW_SAMPLES, Stretch, everything, windows


def loud(block: Samples) -> list[Stretch]:
    """Stretches that are not zero, cut at the length of a window."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0.0], (block != 0).astype(float), [0.0]])))
    return [
        (begin, min(begin + WINDOW_SAMPLES, int(end)))
        for start, end in edges.reshape(-1, 2)
        for begin in range(int(start), int(end), WINDOW_SAMPLES)
    ]


def pieces(recording: Samples) -> Iterator[Samples]:
    for start in range(0, len(recording), 5 * SAMPLE_RATE):
        yield recording[start : start + 5 * SAMPLE_RATE]


def recording(*parts: tuple[float, int]) -> Samples:
    """Seconds, and whether there is sound: 1 or 0. Every sample of sound tells its place."""
    samples = np.concatenate([np.full(int(seconds * SAMPLE_RATE), sound, np.float32) for seconds, sound in parts])
    return samples * np.arange(1, len(samples) + 1, dtype=np.float32)


def test_short_pauses_stay_and_long_ones_go() -> None:
    given = recording((3, 0), (4, 1), (1, 0), (5, 1), (10, 0), (2, 1), (1, 0))
    found = list(windows(pieces(given), loud))
    assert [(window.start, len(window.samples)) for window in found] == [
        (3 * SAMPLE_RATE, 10 * SAMPLE_RATE),
        (23 * SAMPLE_RATE, 2 * SAMPLE_RATE),
    ]


def test_a_window_is_not_cut_where_a_block_ends() -> None:
    given = recording((45, 0), (29, 1), (5, 0))
    (window,) = windows(pieces(given), loud)
    assert (window.start, len(window.samples)) == (45 * SAMPLE_RATE, 29 * SAMPLE_RATE)


def test_nothing_is_nothing() -> None:
    assert list(windows(iter([]), loud)) == []
    assert list(windows(pieces(recording((200, 0))), loud)) == []


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(0.1, 50), st.sampled_from([0, 1])), min_size=1, max_size=8))
def test_all_sound_is_heard_once_and_in_order(parts: list[tuple[float, int]]) -> None:
    given = recording(*parts)
    heard: list[Samples] = []
    end = 0
    for window in windows(pieces(given), loud):
        assert window.start >= end
        assert len(window.samples) <= WINDOW_SAMPLES
        assert np.array_equal(window.samples, given[window.start : window.start + len(window.samples)])
        end = window.start + len(window.samples)
        heard.append(window.samples)
    sound = np.concatenate([*heard, np.zeros(0, np.float32)])
    assert np.array_equal(sound[sound != 0], given[given != 0])


@settings(max_examples=20, deadline=None)
@given(st.floats(0.1, 200))
def test_everything_is_everything(seconds: float) -> None:
    given = recording((seconds, 1))
    found = list(windows(pieces(given), everything))
    assert all(len(window.samples) <= WINDOW_SAMPLES for window in found)
    assert np.array_equal(np.concatenate([window.samples for window in found]), given)


def test_everything_is_cut_where_it_is_quiet() -> None:
    samples = np.ones(40 * SAMPLE_RATE, np.float32)
    samples[25 * SAMPLE_RATE : 26 * SAMPLE_RATE] = 0.01
    first, _ = everything(samples)
    assert 25 * SAMPLE_RATE <= first[1] <= 26 * SAMPLE_RATE
