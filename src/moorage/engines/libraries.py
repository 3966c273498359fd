"""What the embedded engines are made of: packages, and the extras that bring them."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Library:
    """What an embedded engine is made of."""

    package: str
    """Whose version counts as the engine's."""
    modules: tuple[str, ...]
    """What must import for it to work."""
    extra: str = ""
    """The extra that brings it; empty where every install has it."""
    purpose: str = ""

    @property
    def install(self) -> str:
        """The command that brings it; empty where every install has it."""
        return f"pip install 'moorage[{self.extra}]'" if self.extra else ""


LIBRARIES: Mapping[str, Library] = {
    "llama.cpp": Library("xllamacpp", ("xllamacpp",), purpose="GGUF models on the processor"),
    "openvino": Library(
        "openvino-genai", ("openvino_genai",), "openvino", "GGUF and OpenVINO IR on the processor, many calls at once"
    ),
    "onnx": Library("onnxruntime", ("onnxruntime", "tokenizers", "numpy"), purpose="encoders on the processor"),
    "faster-whisper": Library("faster-whisper", ("faster_whisper",), "speech", "speech to text"),
}
"""Engines that run embedded, by their name in the registry."""
