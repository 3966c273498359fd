"""The small encoders of tests/data/encoders: copied, changed, run."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from moorage.models.files.safetensors import tensors
from moorage.runtimes.onnx.graph import Graph, build

ENCODERS = Path(__file__).parents[4] / "data" / "encoders"
Arrays = dict[str, NDArray[Any]]
Stored = dict[str, tuple[str, tuple[int, ...], bytes]]
"""Name → dtype, shape, content."""


def reference(name: str) -> Arrays:
    """Inputs and what transformers computes from them."""
    with np.load(ENCODERS / name / "reference.npz") as file:
        return dict(file)


def session(graph: Graph) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    for key, value in graph.settings.items():
        options.add_session_config_entry(key, value)
    return onnxruntime.InferenceSession(graph.model, options, ["CPUExecutionProvider"])


def run(folder: Path, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
    """What the graph of a folder makes of the inputs it takes."""
    graph = build(folder)
    given = {name: inputs[name] for name in graph.inputs}
    return dict(zip(graph.outputs, session(graph).run(graph.outputs, given), strict=True))


def copy(name: str, folder: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(ENCODERS / name, folder / name))


def configure(folder: Path, **values: object) -> Path:
    """Set values of a folder's config.json; None removes one."""
    path = folder / "config.json"
    config = {**json.loads(path.read_bytes()), **values}
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    return folder


def load(folder: Path) -> Stored:
    stored: Stored = {}
    for name, tensor in tensors(folder).items():
        content = tensor.file.read_bytes()[tensor.offset : tensor.offset + tensor.length]
        stored[name] = (tensor.dtype, tensor.shape, content)
    return stored


def save(path: Path, stored: Stored, *, spaces: int = 0) -> None:
    """Write a safetensors file, with so many spaces behind its header."""
    header: dict[str, Any] = {}
    at = 0
    for name, (dtype, shape, content) in stored.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(content)]}
        at += len(content)
    head = json.dumps(header).encode() + b" " * spaces
    path.write_bytes(len(head).to_bytes(8, "little") + head + b"".join(entry[2] for entry in stored.values()))


def rename(folder: Path, new_name: Callable[[str], str]) -> Path:
    """Call every tensor otherwise."""
    save(folder / "model.safetensors", {new_name(name): entry for name, entry in load(folder).items()})
    return folder
