"""OpenVINO: the one module of encoders that imports it."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moorage.errors import EngineError, InternalError
from moorage.runtimes.encoding.graphs.ports import Port, feeds_of, kinds_of, outputs_of
from moorage.runtimes.encoding.graphs.session import Stop, Stopped
from moorage.runtimes.encoding.port import Item
from moorage.runtimes.host.quiet import silence_openvino

silence_openvino()

import openvino  # noqa: E402 (its telemetry is reported from its own import)

_KINDS = {"i64": np.int64, "i32": np.int32}
_DEVICE = "CPU"
_CONFIG: dict[str, Any] = {
    # Left to itself it computes in bfloat16 where the processor can, which gave NaN for texts that come alone
    # (2026.4.1, AVX-512 BF16); and vectors that are kept must not depend on the machine that made them.
    "INFERENCE_PRECISION_HINT": "f32",
    "NUM_STREAMS": 1,
    # Pinned threads of several replicas would share a core while others are idle.
    "ENABLE_CPU_PINNING": False,
}
_PASSING = frozenset({"Convert", "Reshape", "Squeeze", "Unsqueeze"})
"""Operations that leave tokens what they are."""


class Session:
    """A loaded graph. `run` is called from one thread at a time."""

    def __init__(self, graph: Path, *, threads: int, pad_token: int) -> None:
        """Blocks until the graph is loaded. Raises EngineError."""
        name = repr(str(graph))
        config = {**_CONFIG, "INFERENCE_NUM_THREADS": threads, "ENABLE_HYPER_THREADING": True}
        self._pad_token = pad_token
        try:
            core = openvino.Core()
            model = core.read_model(str(graph))
            self._kinds = kinds_of(_ports(model.inputs), name)
            self.outputs = outputs_of(_ports(model.outputs), name)
            self.vocabulary = _vocabulary(model)
            self._request = core.compile_model(model, _DEVICE, config).create_infer_request()
        except RuntimeError as error:
            raise EngineError(f"OpenVINO cannot load {name}: {_said(error)}") from error

    def run(self, items: Sequence[Item], output: str, stop: Stop) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """As encoding.graphs.session.Session has it."""
        feeds, mask = feeds_of(items, self._kinds, self._pad_token)
        request = self._request
        try:
            with stop.ending(request.cancel):
                request.start_async(feeds, share_inputs=True)
                if stop.is_set:  # what came before the start has ended nothing
                    request.cancel()
                request.wait()
                found = np.array(request.get_tensor(output).data, np.float32)
        except RuntimeError as error:
            if stop.is_set:
                raise Stopped from error
            raise InternalError(f"OpenVINO failed: {_said(error)}", code="engine_failed") from error
        return found, mask


def _ports(found: Iterable[openvino.Output]) -> list[Port]:
    """One for each name of each."""
    ports: list[Port] = []
    for output in found:
        written, shape = output.get_element_type().get_type_name(), _sizes(output.get_partial_shape())
        ports += [Port(name, written, _KINDS.get(written), shape) for name in sorted(output.get_names())]
    return ports


def _sizes(shape: openvino.PartialShape) -> list[int | None]:
    """Empty where even their number varies."""
    if not shape.rank.is_static:
        return []
    return [size.get_length() if size.is_static else None for size in shape]


def _vocabulary(model: openvino.Model) -> int | None:
    """Rows of the table that the tokens are looked up in: beyond it OpenVINO reads zeros and says nothing."""
    waiting = [output for output in model.inputs if "input_ids" in output.get_names()]
    while waiting:
        for entered in waiting.pop().get_target_inputs():
            node = entered.get_node()
            if node.get_type_name() == "Gather" and entered.get_index() == 1:
                rows = _sizes(node.input(0).get_partial_shape())
                return rows[0] if rows else None
            if node.get_type_name() in _PASSING and entered.get_index() == 0:
                waiting += node.outputs()
    return None


def _said(error: RuntimeError) -> str:
    """The library's reason without the places of its source that it went through."""
    lines = [line.strip() for line in str(error).splitlines()]
    reasons = [line for line in lines if line and not line.startswith("Exception from ")]
    return " ".join(reasons) or "it gives no reason"
