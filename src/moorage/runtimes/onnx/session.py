"""ONNX Runtime: the one module that imports it."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

# Read when the library starts: its telemetry has sent an event before any call could switch it off.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    NoSuchFile,
    NotImplemented,
    RuntimeException,
)

from moorage.errors import EngineError, InternalError
from moorage.runtimes.encoding.graphs.ports import Port, feeds_of, kinds_of, outputs_of
from moorage.runtimes.encoding.graphs.session import Stop, Stopped
from moorage.runtimes.encoding.port import Item
from moorage.runtimes.onnx.graph import Graph

_ERRORS = (
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    NoSuchFile,
    NotImplemented,
    RuntimeException,
    RuntimeError,
    ValueError,
)
_KINDS = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
_ERRORS_ONLY = 3


class Session:
    """A loaded graph. `run` is called from one thread at a time."""

    vocabulary = None

    def __init__(self, source: Path | Graph, *, threads: int, pad_token: int) -> None:
        """Blocks until the graph is loaded. Raises EngineError."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        # Batches differ in shape: an arena would keep the most that any of them took, for good.
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        # Threads that wait by spinning take the cores from the other replicas.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        onnxruntime.disable_telemetry_events()
        self._pad_token = pad_token
        name = _name(source)
        try:
            self._session = _load(source, options)
        except _ERRORS as error:
            raise EngineError(f"ONNX Runtime cannot load {name}: {error}") from error
        self._kinds = kinds_of(_ports(self._session.get_inputs()), name)
        self.outputs = outputs_of(_ports(self._session.get_outputs()), name)

    def run(self, items: Sequence[Item], output: str, stop: Stop) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """As encoding.graphs.session.Session has it."""
        feeds, mask = feeds_of(items, self._kinds, self._pad_token)
        options = onnxruntime.RunOptions()
        try:
            with stop.ending(lambda: _terminate(options)):
                (found,) = self._session.run([output], feeds, options)
        except _ERRORS as error:
            if stop.is_set:
                raise Stopped from error
            raise InternalError(f"ONNX Runtime failed: {error}", code="engine_failed") from error
        return found.astype(np.float32, copy=False), mask


def _terminate(options: onnxruntime.RunOptions) -> None:
    options.terminate = True


def _load(source: Path | Graph, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    graph: str | bytes
    if isinstance(source, Graph):
        for key, value in source.settings.items():
            options.add_session_config_entry(key, value)
        graph = source.model
    else:
        graph = str(source)
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _name(source: Path | Graph) -> str:
    return "the graph written for the model's safetensors" if isinstance(source, Graph) else repr(str(source))


def _ports(found: Iterable[onnxruntime.NodeArg]) -> list[Port]:
    return [
        Port(
            port.name,
            port.type,
            _KINDS.get(port.type),
            [size if isinstance(size, int) else None for size in port.shape],
        )
        for port in found
    ]
