"""ONNX Runtime: the one module that imports it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
_KNOWN = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
_STATES = ("token_embeddings", "last_hidden_state")
_SENTENCE = ("sentence_embedding",)
_LOGITS = ("logits", "scores", "score")
_ERRORS_ONLY = 3


class Stopped(Exception):
    """A run that was told to end."""


class Stop:
    """Ends the run it is given to, from any thread."""

    def __init__(self) -> None:
        self.options = onnxruntime.RunOptions()

    def set(self) -> None:
        self.options.terminate = True

    @property
    def is_set(self) -> bool:
        return self.options.terminate


@dataclass(frozen=True)
class Outputs:
    """Names of what the graph gives, None for what it does not."""

    states: str | None
    """Hidden states [batch, tokens, width]."""
    sentence: str | None
    """Vectors [batch, width], made as the model says."""
    logits: str | None
    """[batch, labels] or [batch, tokens, labels]."""
    logits_rank: int
    labels: int
    width: int


class Session:
    """A loaded graph. `run` is called from one thread at a time."""

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
        try:
            self._session = _load(source, options)
        except _ERRORS as error:
            raise EngineError(f"ONNX Runtime cannot load {_name(source)}: {error}") from error
        self._kinds = _input_kinds(self._session, _name(source))
        self.outputs = _outputs(self._session, _name(source))

    def run(self, items: Sequence[Item], output: str, stop: Stop) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The output, with its rows in the order of the items, and the mask: 1 for a token. Raises InternalError, or
        Stopped."""
        feeds, mask = self._feeds(items)
        try:
            (found,) = self._session.run([output], feeds, stop.options)
        except _ERRORS as error:
            if stop.is_set:
                raise Stopped from error
            raise InternalError(f"ONNX Runtime failed: {error}", code="engine_failed") from error
        return found.astype(np.float32, copy=False), mask

    def _feeds(self, items: Sequence[Item]) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64]]:
        shape = len(items), max(len(item.ids) for item in items)
        ids = np.full(shape, self._pad_token, np.int64)
        mask = np.zeros(shape, np.int64)
        types = np.zeros(shape, np.int64)
        for row, item in enumerate(items):
            length = len(item.ids)
            ids[row, :length] = item.ids
            mask[row, :length] = 1
            if item.types:
                types[row, :length] = item.types
        positions = np.maximum(mask.cumsum(axis=1) - 1, 0)
        given: dict[str, NDArray[np.int64]] = dict(zip(_KNOWN, (ids, mask, types, positions), strict=True))
        return {name: given[name].astype(kind, copy=False) for name, kind in self._kinds.items()}, mask


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


def _input_kinds(session: onnxruntime.InferenceSession, name: str) -> dict[str, type[np.signedinteger[Any]]]:
    kinds: dict[str, type[np.signedinteger[Any]]] = {}
    for port in session.get_inputs():
        if port.name not in _KNOWN or port.type not in _KINDS:
            raise EngineError(
                f"{name} wants an input {port.name!r} of {port.type}; encoders of texts have {', '.join(_KNOWN)}: "
                "name another graph of the model"
            )
        if any(isinstance(size, int) for size in port.shape):
            raise EngineError(
                f"{name} takes {port.name!r} only in the shape {list(port.shape)}; export it with a batch and a "
                "sequence that vary"
            )
        kinds[port.name] = _KINDS[port.type]
    if "input_ids" not in kinds:
        raise EngineError(f"{name} has no input 'input_ids': it is no encoder of texts")
    return kinds


def _outputs(session: onnxruntime.InferenceSession, name: str) -> Outputs:
    ports = {port.name: port for port in session.get_outputs()}
    states = next((known for known in _STATES if known in ports), None)
    sentence = next((known for known in _SENTENCE if known in ports), None)
    logits = next((known for known in _LOGITS if known in ports), None)
    if states is sentence is logits is None:
        found = ", ".join(ports)
        raise EngineError(
            f"{name} gives {found}; an encoder gives one of {', '.join((*_STATES, *_SENTENCE, *_LOGITS))}"
        )
    rank, labels = (len(ports[logits].shape), _last(ports[logits])) if logits else (0, 0)
    width = _last(ports[states]) if states else _last(ports[sentence]) if sentence else 0
    return Outputs(states, sentence, logits, rank, labels, width)


def _last(port: onnxruntime.NodeArg) -> int:
    """The size of the last dimension; 0 where the graph leaves it open."""
    size = port.shape[-1] if port.shape else 0
    return size if isinstance(size, int) else 0
