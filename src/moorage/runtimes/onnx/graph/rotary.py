"""Rotary positions: queries and keys are turned by an angle that grows with their place (Su et al., 2021)."""

from dataclasses import dataclass

import numpy as np

from moorage.errors import ModelError
from moorage.runtimes.onnx.graph.layers import Inputs, Layers
from moorage.runtimes.onnx.graph.nodes import CONTRIB, FLOAT, Value


@dataclass(frozen=True)
class Rotation:
    """The cosines and sines of every place, float32 [s, half a head's width] each."""

    places: Value
    cosines: Value
    sines: Value

    def turn(self, layers: Layers, x: Value) -> Value:
        """[b, s, h] → the same, every head's first half turned against its second."""
        return layers.nodes.add("RotaryEmbedding", x, self.places, self.cosines, self.sines, domain=CONTRIB)


def rotation(layers: Layers, inputs: Inputs, *, head: int, theta: float) -> Rotation:
    """For heads of so many numbers. The angles are computed with every call: they cost next to nothing, and no length
    is fixed. Raises ModelError for an odd width, of which there are no halves."""
    if head % 2:
        raise ModelError(f"config.json gives a head {head} numbers; rotary positions need an even number of them")
    nodes = layers.nodes
    speeds = 1.0 / theta ** (np.arange(0, head, 2, dtype=np.float32) / np.float32(head))
    places = nodes.add("Unsqueeze", nodes.add("Cast", layers.positions(inputs), to=FLOAT), nodes.constant([1]))
    angles = nodes.add("Mul", places, nodes.constant(speeds.astype(np.float32)))
    return Rotation(nodes.constant([0]), nodes.add("Cos", angles), nodes.add("Sin", angles))
