"""Each pooling against the plain formula, text by text, with padding that must not count."""

from typing import Any

import numpy as np
import pytest

from moorage.runtimes.encoding.graphs.pooling import ACTIVATIONS, POOLS, Dense, Normalize, pooled

RANDOM = np.random.default_rng(4)
LENGTHS = (1, 7, 4)
HIDDEN = RANDOM.normal(0, 1, (3, 7, 5)).astype(np.float32)
MASK = np.array([[1] * length + [0] * (7 - length) for length in LENGTHS])
HIDDEN[MASK == 0] = 1e6


def by_hand(name: str, rows: Any) -> Any:
    count = len(rows)
    weights = np.arange(1, count + 1)[:, None]
    return {
        "cls": rows[0],
        "lasttoken": rows[-1],
        "max": rows.max(axis=0),
        "mean": rows.sum(axis=0) / count,
        "mean_sqrt_len_tokens": rows.sum(axis=0) / np.sqrt(count),
        "weightedmean": (rows * weights).sum(axis=0) / weights.sum(),
    }[name]


@pytest.mark.parametrize("name", list(POOLS))
def test_padding_never_counts(name: str) -> None:
    found = POOLS[name](HIDDEN, MASK)
    assert found.dtype == np.float32
    expected = np.stack([by_hand(name, HIDDEN[row, :length]) for row, length in enumerate(LENGTHS)])
    assert np.allclose(found, expected, atol=1e-5)


def test_several_are_joined() -> None:
    found = pooled(HIDDEN, MASK, ("cls", "mean"))
    assert found.shape == (3, 10)
    assert np.array_equal(found[:, :5], HIDDEN[:, 0])


def test_layers_and_unit_vectors() -> None:
    weight, bias = np.eye(5, dtype=np.float32)[:2] * 2, np.array([1, -1], np.float32)
    x = np.array([[1, 2, 3, 4, 5]], np.float32)
    assert Dense(weight, bias, "Identity")(x).tolist() == [[3, 3]]
    assert Dense(weight, None, "ReLU")(-x).tolist() == [[0, 0]]
    assert np.allclose(Normalize()(np.array([[3, 4], [0, 0]], np.float32)), [[0.6, 0.8], [0, 0]])


def test_activations_are_those_of_torch() -> None:
    """Values of torch 2.13 for -1, 0 and 2."""
    x = np.array([-1, 0, 2], np.float32)
    expected = {
        "Identity": [-1, 0, 2],
        "Tanh": [-0.7615942, 0, 0.9640276],
        "ReLU": [0, 0, 2],
        "Sigmoid": [0.2689414, 0.5, 0.8807971],
        "GELU": [-0.1586553, 0, 1.9544997],
    }
    assert set(expected) == set(ACTIVATIONS)
    for name, values in expected.items():
        assert np.allclose(ACTIVATIONS[name](x), values, atol=1e-6), name
