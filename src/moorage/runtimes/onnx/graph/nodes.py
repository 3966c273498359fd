"""Writing an ONNX graph node by node (onnx/onnx.proto gives the field numbers), its weights left in other files."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moorage.errors import ModelError
from moorage.runtimes.onnx.graph import protobuf as pb

CONTRIB = "com.microsoft"
"""The domain of ONNX Runtime's own operators."""
FLOAT, UINT8, INT8, INT32, INT64, BOOL, FLOAT16, BFLOAT16 = 1, 2, 3, 6, 7, 9, 10, 16
"""TensorProto.DataType."""

_IR_VERSION = 10
_OPSETS = {"": 21, CONTRIB: 1}
_ELEMENTS = {"float32": FLOAT, "uint8": UINT8, "int8": INT8, "int64": INT64}
_EXTERNAL = 1
_MAX_BYTES = (1 << 31) - 4096
"""Protobuf's bound on a message, with room for what stands around the graph."""

Value = str
"""The name of what a node gives."""
Attribute = int | float | str | bytes | Sequence[int]
"""bytes are an encoded subgraph."""


class Nodes:
    """A graph that grows: each call adds something and returns the name of its value."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[bytes] = []
        self._tensors: dict[Value, bytes] = {}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], Value] = {}
        self._inputs: dict[Value, bytes] = {}
        self._outputs: dict[Value, bytes] = {}

    @property
    def inputs(self) -> tuple[Value, ...]:
        return tuple(self._inputs)

    @property
    def outputs(self) -> tuple[Value, ...]:
        return tuple(self._outputs)

    def input(self, name: str, kind: int, shape: Sequence[int | str]) -> Value:
        """Declare an input; a dimension with a name varies."""
        self._inputs[name] = _typed(name, kind, shape)
        return name

    def output(self, value: Value, name: str, kind: int, shape: Sequence[int | str]) -> None:
        """Give a value to the caller under this name."""
        self._nodes.append(_node("Identity", (value,), (name,), "", {}))
        self._outputs[name] = _typed(name, kind, shape)

    def external(self, name: str, kind: int, shape: Sequence[int], location: str, offset: int, length: int) -> Value:
        """A tensor in a file: `length` bytes, little endian and row major, at `offset` of `location`, whose path is
        relative to a folder that the session is told."""
        if name not in self._tensors:
            entries = {"location": location, "offset": str(offset), "length": str(length)}
            parts = [pb.data(13, pb.text(1, key) + pb.text(2, value)) for key, value in entries.items()]
            self._tensors[name] = _tensor(name, kind, shape, *parts, pb.number(14, _EXTERNAL))
        return name

    def constant(self, array: NDArray[Any] | Sequence[int]) -> Value:
        """A small tensor within the graph; a list of numbers is int64, as shapes and axes want it."""
        tensor = array if isinstance(array, np.ndarray) else np.array(array, dtype=np.int64)
        key = (tensor.dtype.name, tensor.shape, tensor.tobytes())
        if key not in self._constants:
            self._constants[key] = self.tensor(f"constant_{len(self._constants)}", tensor)
        return self._constants[key]

    def tensor(self, name: str, array: NDArray[Any]) -> Value:
        """A tensor within the graph, under this name."""
        content = pb.data(9, array.tobytes())
        self._tensors[name] = _tensor(name, _ELEMENTS[array.dtype.name], array.shape, content)
        return name

    def number(self, value: float) -> Value:
        """A float32 scalar."""
        return self.constant(np.array(value, dtype=np.float32))

    def add(self, kind: str, *inputs: Value, domain: str = "", **attributes: Attribute) -> Value:
        """One node with one result; an empty name is an input left out."""
        return self.split(kind, 1, *inputs, domain=domain, **attributes)[0]

    def split(
        self, kind: str, results: int, *inputs: Value, domain: str = "", **attributes: Attribute
    ) -> tuple[Value, ...]:
        """One node with several results."""
        names = tuple(f"{kind}_{len(self._nodes)}_{index}" for index in range(results))
        self._nodes.append(_node(kind, inputs, names, domain, attributes))
        return names

    def choose(
        self,
        condition: Value,
        kind: str,
        then: Sequence[Value],
        otherwise: Sequence[Value],
        *,
        domain: str = "",
        **attributes: Attribute,
    ) -> Value:
        """One node on the inputs `then` where the boolean scalar `condition` holds, else on `otherwise`."""
        name = f"{kind}_{len(self._nodes)}"
        return self.add(
            "If",
            condition,
            then_branch=_branch(f"{name}_then", kind, then, domain, attributes),
            else_branch=_branch(f"{name}_else", kind, otherwise, domain, attributes),
        )

    def model(self) -> bytes:
        """The whole as an ONNX ModelProto. Raises ModelError where the tensors within make it too large."""
        graph = [pb.data(1, node) for node in self._nodes]
        graph.append(pb.text(2, self._name))
        graph += [pb.data(5, tensor) for tensor in self._tensors.values()]
        graph += [pb.data(11, value) for value in self._inputs.values()]
        graph += [pb.data(12, value) for value in self._outputs.values()]
        opsets = [pb.data(8, pb.text(1, domain) + pb.number(2, version)) for domain, version in _OPSETS.items()]
        size_bytes = sum(map(len, graph))
        if size_bytes > _MAX_BYTES:
            raise ModelError(
                f"the graph would hold {size_bytes} bytes of rounded weights, more than a protobuf message can; serve "
                "the model without quantisation"
            )
        return b"".join([pb.number(1, _IR_VERSION), pb.text(2, "moorage"), *opsets, pb.data(7, b"".join(graph))])


def _node(
    kind: str, inputs: Sequence[Value], outputs: Sequence[Value], domain: str, attributes: Mapping[str, Attribute]
) -> bytes:
    parts = [pb.text(1, name) for name in inputs]
    parts += [pb.text(2, name) for name in outputs]
    parts += [pb.text(3, outputs[0]), pb.text(4, kind)]
    parts += [pb.data(5, _attribute(name, value)) for name, value in attributes.items()]
    if domain:
        parts.append(pb.text(7, domain))
    return b"".join(parts)


def _branch(name: str, kind: str, inputs: Sequence[Value], domain: str, attributes: Mapping[str, Attribute]) -> bytes:
    """A GraphProto of one node, which sees the values of the graph around it."""
    return b"".join(
        [
            pb.data(1, _node(kind, inputs, (name,), domain, attributes)),
            pb.text(2, name),
            pb.data(12, pb.text(1, name)),
        ]
    )


def _attribute(name: str, value: Attribute) -> bytes:
    match value:
        case int():
            body, kind = pb.number(3, value), 2
        case float():
            body, kind = pb.real(2, value), 1
        case str():
            body, kind = pb.text(4, value), 3
        case bytes():
            body, kind = pb.data(6, value), 5
        case _:
            body, kind = b"".join(pb.number(8, item) for item in value), 7
    return pb.text(1, name) + body + pb.number(20, kind)


def _tensor(name: str, kind: int, shape: Sequence[int], *content: bytes) -> bytes:
    return b"".join([*(pb.number(1, size) for size in shape), pb.number(2, kind), pb.text(8, name), *content])


def _typed(name: str, kind: int, shape: Sequence[int | str]) -> bytes:
    sizes = [pb.text(2, size) if isinstance(size, str) else pb.number(1, size) for size in shape]
    dimensions = b"".join(pb.data(1, size) for size in sizes)
    return pb.text(1, name) + pb.data(2, pb.data(1, pb.number(1, kind) + pb.data(2, dimensions)))
