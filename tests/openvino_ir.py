"""Folders of encoders in OpenVINO's IR, made from folders of safetensors by way of the ONNX graph written for them."""

import shutil
from pathlib import Path

from moorage.models.files.safetensors import files
from moorage.runtimes.host.quiet import silence_openvino
from moorage.runtimes.onnx.graph import build

GRAPH = "openvino_model.xml"


def write(model: Path, folder: Path, *, half: bool = False, below: str = "") -> Path:
    """`model` as an IR: everything but its weights is copied. `half` keeps them in 16 bits, as exporters do; `below` is
    a folder in it for the graph."""
    silence_openvino()
    import openvino

    shutil.copytree(model, folder)
    graph = folder / "model.onnx"
    graph.write_bytes(build(model).model)
    place = folder / below
    place.mkdir(exist_ok=True)
    openvino.save_model(openvino.Core().read_model(str(graph)), str(place / GRAPH), compress_to_fp16=half)
    for path in (graph, *files(folder)):
        path.unlink()
    return folder


def fixed(model: Path, folder: Path, shape: tuple[int, int]) -> Path:
    """A copy of an IR that takes texts of one shape only."""
    silence_openvino()
    import openvino

    shutil.copytree(model, folder)
    graph = openvino.Core().read_model(str(model / GRAPH))
    graph.reshape({name: shape for port in graph.inputs for name in port.get_names()})
    openvino.save_model(graph, str(folder / GRAPH))
    return folder
