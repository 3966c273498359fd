"""What an architecture writes: an encoder up to its last hidden state, to which a head may be added."""

from dataclasses import dataclass

from moorage.errors import ModelError
from moorage.runtimes.onnx.graph.layers import Inputs, Layers
from moorage.runtimes.onnx.graph.nodes import Value


@dataclass(frozen=True, kw_only=True)
class Encoder:
    layers: Layers
    inputs: Inputs
    states: Value
    """[b, s, width]"""
    width: int
    max_length: int
    """The most tokens it has positions for."""


def head_width(width: int, heads: int) -> int:
    """Numbers a head works on. Raises ModelError where the heads do not share a token's numbers evenly."""
    if width % heads:
        raise ModelError(
            f"config.json gives {width} numbers a token to {heads} attention heads, which cannot share them"
        )
    return width // heads
