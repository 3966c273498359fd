"""The parts encoders are made of, as nodes of a graph. Shapes in brackets: b texts, s tokens, h numbers a token."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from moorage.errors import ModelError
from moorage.runtimes.onnx.graph import integers
from moorage.runtimes.onnx.graph.checkpoint import Checkpoint
from moorage.runtimes.onnx.graph.nodes import BOOL, CONTRIB, FLOAT, INT32, INT64, Nodes, Value

_LOWEST = float(np.finfo(np.float32).min)
"""Added to a score that must not count. Finite, so that a text of nothing but padding gives no NaN."""

_ACTIVATIONS: dict[str, Callable[[Nodes, Value], Value]] = {
    "gelu": lambda nodes, x: nodes.add("Gelu", x),
    "gelu_new": lambda nodes, x: _gelu_tanh(nodes, x),
    "gelu_fast": lambda nodes, x: _gelu_tanh(nodes, x),
    "gelu_pytorch_tanh": lambda nodes, x: _gelu_tanh(nodes, x),
    "relu": lambda nodes, x: nodes.add("Relu", x),
    "tanh": lambda nodes, x: nodes.add("Tanh", x),
    "silu": lambda nodes, x: nodes.add("Mul", x, nodes.add("Sigmoid", x)),
    "swish": lambda nodes, x: nodes.add("Mul", x, nodes.add("Sigmoid", x)),
}


@dataclass(frozen=True)
class Inputs:
    """The inputs of a graph and what is derived from them once, for all layers."""

    ids: Value
    """int64 [b, s]"""
    mask: Value
    """int64 [b, s]"""
    keys: Value
    """int32 [b, s]: the mask as attention wants it."""
    unpadded: Value
    """bool: no position of the batch is padding."""
    length: Value
    """int64 [1]: s."""


class Layers:
    """Writes layers of one encoder, whose weights come from one checkpoint."""

    def __init__(self, nodes: Nodes, checkpoint: Checkpoint, *, heads: int, epsilon: float, shift: bool = True) -> None:
        """`epsilon` is that of every normalisation; without `shift` they have no bias unless the checkpoint does."""
        self.nodes = nodes
        self.checkpoint = checkpoint
        self._heads = heads
        self._epsilon = epsilon
        self._shift = shift
        self._rounded: dict[Value, integers.Rounded] = {}

    def inputs(self) -> Inputs:
        nodes = self.nodes
        ids = nodes.input("input_ids", INT64, ("batch", "sequence"))
        mask = nodes.input("attention_mask", INT64, ("batch", "sequence"))
        least = nodes.add("ReduceMin", mask, keepdims=0)
        return Inputs(
            ids=ids,
            mask=mask,
            keys=nodes.add("Cast", mask, to=INT32),
            unpadded=nodes.add("Equal", least, nodes.constant(np.array(1, dtype=np.int64))),
            length=nodes.add("Shape", ids, start=1, end=2),
        )

    def weight(self, name: str, *shape: int) -> Value:
        """float32; one stored in 16 bits is cast once, when the session folds constants."""
        value = self.checkpoint.value(self.nodes, name, *shape)
        return self._float(value, name)

    def embed(self, ids: Value, table: str, width: int) -> Value:
        """[…] numbers of rows → […, width]. The table stays in the file, in its own type: only rows are cast."""
        rows = self.checkpoint.rows(table, width)
        value = self.checkpoint.value(self.nodes, table, rows, width)
        return self._float(self.nodes.add("Gather", value, ids), table)

    def project(self, x: Value, name: str, inputs: int, outputs: int, *, bias: bool | None = True) -> Value:
        """`linear` within the layers of an encoder, where nearly all the work is: in integers if that was asked for."""
        if not self.checkpoint.quantize:
            return self.linear(x, name, inputs, outputs, bias=bias)
        if x not in self._rounded:
            self._rounded[x] = integers.rounded(self.nodes, x)
        if bias is None:
            bias = self.checkpoint.has(f"{name}.bias")
        shift = self.weight(f"{name}.bias", outputs) if bias else ""
        weight = self.checkpoint.read(f"{name}.weight", outputs, inputs)
        return integers.product(self.nodes, self._rounded[x], f"{name}.weight", weight, shift)

    def linear(self, x: Value, name: str, inputs: int, outputs: int, *, bias: bool | None = True) -> Value:
        """[…, inputs] → […, outputs]. `bias` None: where the checkpoint has one."""
        matrix = self.weight(f"{name}.weight", outputs, inputs)
        # Weights are stored as [outputs, inputs]; the product takes them so and packs them once.
        product = self.nodes.add("FusedMatMul", x, matrix, domain=CONTRIB, transB=1)
        if bias is None:
            bias = self.checkpoint.has(f"{name}.bias")
        return self.nodes.add("Add", product, self.weight(f"{name}.bias", outputs)) if bias else product

    def norm(self, x: Value, name: str, width: int) -> Value:
        parts = [self.weight(f"{name}.weight", width)]
        if self._shift or self.checkpoint.has(f"{name}.bias"):
            parts.append(self.weight(f"{name}.bias", width))
        return self.nodes.add("LayerNormalization", x, *parts, axis=-1, epsilon=self._epsilon)

    def activate(self, kind: str, x: Value) -> Value:
        """Raises ModelError for an activation not known here."""
        if kind not in _ACTIVATIONS:
            raise ModelError(
                f"the activation {kind!r} of config.json is not one this encoder runtime has "
                f"({', '.join(_ACTIVATIONS)}); use a copy of the model in the ONNX or GGUF format"
            )
        return _ACTIVATIONS[kind](self.nodes, x)

    def attend(self, inputs: Inputs, query: Value, key: Value, value: Value, bias: Value = "") -> Value:
        """Attention of every token to all that are not padding: [b, s, h] each → [b, s, h].

        `bias`, [1, 1 or heads, s, s], is added to the scores. A batch without padding takes a path that never has
        all scores in memory at once, where there is no bias.
        """
        masked = (query, key, value, "", inputs.keys, bias)
        if bias:
            return self.nodes.add("MultiHeadAttention", *masked, domain=CONTRIB, **self._scores())
        return self.nodes.choose(
            inputs.unpadded,
            "MultiHeadAttention",
            (query, key, value),
            masked[:-1],
            domain=CONTRIB,
            **self._scores(),
        )

    def first(self, x: Value) -> Value:
        """[b, s, h] → [b, h]: the token that stands for the text."""
        return self.nodes.add("Gather", x, self.nodes.constant(np.array(0, dtype=np.int64)), axis=1)

    def mean(self, x: Value, mask: Value) -> Value:
        """[b, s, h] → [b, h]: over the tokens that are not padding."""
        nodes, axis = self.nodes, self.nodes.constant([1])
        kept = nodes.add("Unsqueeze", nodes.add("Cast", mask, to=FLOAT), nodes.constant([2]))
        # Not a product: a padded row may hold anything.
        clean = nodes.add("Where", nodes.add("Cast", kept, to=BOOL), x, nodes.number(0))
        total = nodes.add("ReduceSum", clean, axis, keepdims=0)
        return nodes.add("Div", total, nodes.add("ReduceSum", kept, axis, keepdims=0))

    def distances(self, inputs: Inputs) -> Value:
        """int64 [s, s]: position of the key minus position of the query."""
        nodes = self.nodes
        positions = self.positions(inputs)
        return nodes.add(
            "Sub",
            nodes.add("Unsqueeze", positions, nodes.constant([0])),
            nodes.add("Unsqueeze", positions, nodes.constant([1])),
        )

    def positions(self, inputs: Inputs) -> Value:
        """int64 [s]: 0, 1, 2, …"""
        nodes = self.nodes
        zero, one = (nodes.constant(np.array(number, dtype=np.int64)) for number in (0, 1))
        return nodes.add("Range", zero, nodes.add("Squeeze", inputs.length), one)

    def within(self, distances: Value, farthest: int) -> Value:
        """[1, 1, s, s]: a bias that lets a token see only those at most so far away."""
        nodes = self.nodes
        near = nodes.add("LessOrEqual", nodes.add("Abs", distances), nodes.constant(np.array(farthest, dtype=np.int64)))
        return nodes.add(
            "Unsqueeze", nodes.add("Where", near, nodes.number(0), nodes.number(_LOWEST)), nodes.constant([0, 1])
        )

    def _scores(self) -> dict[str, int | float]:
        return {"num_heads": self._heads, "mask_filter_value": _LOWEST}

    def _float(self, value: Value, name: str) -> Value:
        return value if self.checkpoint.kind(name) == FLOAT else self.nodes.add("Cast", value, to=FLOAT)


def _gelu_tanh(nodes: Nodes, x: Value) -> Value:
    return nodes.add("Gelu", x, approximate="tanh")
