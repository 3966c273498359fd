"""Products of matrices in 8-bit integers: weights are rounded at load, activations with every call.

Weights keep one scale for each output, symmetric about zero. Activations keep a scale and an offset for each token, so
that no token's numbers depend on the others in the batch, as they would with ONNX Runtime's own dynamic quantisation,
which has one scale for all (on MiniLM it moved a text's vector to a cosine of 0.988 with itself in a batch).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from moorage.errors import ModelError
from moorage.runtimes.onnx.graph.nodes import CONTRIB, Nodes, Value

_WEIGHT = 63
"""The largest weight. Half the range: processors without VNNI add pairs of products in 16 bits, which 127 overflows."""
_STEPS = 255
_LEAST = 1e-30
"""Of a range: a token whose numbers are all alike is divided by this, not by zero."""


@dataclass(frozen=True)
class Rounded:
    """[…, n] numbers as `low` + `span` · `steps` / 255."""

    low: Value
    """float32 […, 1]"""
    span: Value
    """float32 […, 1]"""
    steps: Value
    """uint8 […, n]"""


def rounded(nodes: Nodes, x: Value) -> Rounded:
    axis = nodes.constant([-1])
    low = nodes.add("ReduceMin", x, axis, keepdims=1)
    range_ = nodes.add("Sub", nodes.add("ReduceMax", x, axis, keepdims=1), low)
    span = nodes.add("Max", range_, nodes.number(_LEAST))
    share = nodes.add("Div", nodes.add("Sub", x, low), span)
    return Rounded(low, span, nodes.add("QuantizeLinear", share, nodes.number(1 / _STEPS), _zero(nodes)))


def product(nodes: Nodes, x: Rounded, name: str, weight: NDArray[np.float32], bias: Value) -> Value:
    """[…, inputs] → […, outputs], for a weight of [outputs, inputs]; `bias` is float32 [outputs], or empty.

    Raises ModelError for a weight with values that are infinite or no numbers.
    """
    if not np.isfinite(weight).all():
        raise ModelError(f"tensor {name!r} has values that are infinite or not a number; it cannot be quantised")
    scale = np.maximum(np.abs(weight).max(axis=1), _LEAST) / np.float32(_WEIGHT)
    steps = np.rint(weight / scale[:, None]).astype(np.int8)
    matrix = nodes.tensor(name, np.ascontiguousarray(steps.T))
    sums = (steps.sum(axis=1, dtype=np.int64) * scale).astype(np.float32)
    unit, zero = nodes.number(1 / _STEPS), _zero(nodes)
    share = nodes.add("MatMulIntegerToFloat", x.steps, matrix, unit, nodes.constant(scale), zero, domain=CONTRIB)
    low = nodes.add("Mul", x.low, nodes.constant(sums))
    offset = nodes.add("Add", low, bias) if bias else low
    return nodes.add("Add", nodes.add("Mul", share, x.span), offset)


def _zero(nodes: Nodes) -> Value:
    return nodes.constant(np.array(0, dtype=np.uint8))
