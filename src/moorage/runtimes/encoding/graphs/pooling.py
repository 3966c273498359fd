"""From token vectors to the vector of a text: sentence-transformers' poolings and dense layers, in numpy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Mask = NDArray[np.int64]
Pool = Callable[[Floats, Mask], Floats]
"""Hidden states [batch, tokens, width] and a mask [batch, tokens], 1 for a token → [batch, width]."""


def mean(hidden: Floats, mask: Mask) -> Floats:
    return _sum(hidden, mask.astype(np.float32)) / mask.sum(axis=1, keepdims=True, dtype=np.float32)


def mean_sqrt(hidden: Floats, mask: Mask) -> Floats:
    """The sum over the square root of the length."""
    return _sum(hidden, mask.astype(np.float32)) / np.sqrt(mask.sum(axis=1, keepdims=True, dtype=np.float32))


def weighted_mean(hidden: Floats, mask: Mask) -> Floats:
    """Later tokens weigh more: 1, 2, 3, … (SGPT)."""
    weights = mask * np.arange(1, mask.shape[1] + 1, dtype=np.float32)
    return _sum(hidden, weights.astype(np.float32)) / weights.sum(axis=1, keepdims=True, dtype=np.float32)


def largest(hidden: Floats, mask: Mask) -> Floats:
    return np.where(mask[:, :, None] == 1, hidden, -np.inf).max(axis=1).astype(np.float32)


def first(hidden: Floats, mask: Mask) -> Floats:
    return hidden[np.arange(len(hidden)), mask.argmax(axis=1)]


def last(hidden: Floats, mask: Mask) -> Floats:
    return hidden[np.arange(len(hidden)), mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1)]


POOLS: dict[str, Pool] = {
    "cls": first,
    "max": largest,
    "mean": mean,
    "mean_sqrt_len_tokens": mean_sqrt,
    "weightedmean": weighted_mean,
    "lasttoken": last,
}
"""In sentence-transformers' words."""


def pooled(hidden: Floats, mask: Mask, names: Sequence[str]) -> Floats:
    """Several poolings are put one behind the other."""
    return np.concatenate([POOLS[name](hidden, mask) for name in names], axis=-1)


ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {
    "Identity": lambda x: x,
    "Tanh": lambda x: np.tanh(x),
    "ReLU": lambda x: np.maximum(x, 0),
    "Sigmoid": lambda x: (1 / (1 + np.exp(-x))).astype(np.float32),
    "GELU": lambda x: _gelu(x),
}
"""By the name of torch's class."""


@dataclass(frozen=True)
class Dense:
    """A layer after the pooling."""

    weight: Floats
    """[out, in]"""
    bias: Floats | None
    activation: str

    def __call__(self, vectors: Floats) -> Floats:
        result = vectors @ self.weight.T
        return ACTIVATIONS[self.activation](result if self.bias is None else result + self.bias)


class Normalize:
    """A module that makes unit vectors."""

    def __call__(self, vectors: Floats) -> Floats:
        return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


Module = Dense | Normalize


def _sum(hidden: Floats, weights: Floats) -> Floats:
    return (weights[:, None, :] @ hidden)[:, 0, :]


def _gelu(x: Floats) -> Floats:
    """0.5·x·(1 + erf(x/√2)), erf by Abramowitz and Stegun 7.1.26: within 1.5e-7."""
    z = np.abs(x) / np.sqrt(2)
    t = 1 / (1 + 0.3275911 * z)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    erf = np.sign(x) * (1 - series * np.exp(-z * z))
    return (0.5 * x * (1 + erf)).astype(np.float32)
