"""Encoders of the BERT family from their safetensors files, as ONNX graphs written at load."""

from moorage.runtimes.onnx.graph.build import build
from moorage.runtimes.onnx.graph.model import Graph

__all__ = ["Graph", "build"]
