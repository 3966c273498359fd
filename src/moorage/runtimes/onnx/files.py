"""A model as ONNX Runtime loads it: from an ONNX file, or from safetensors by a graph that is written here."""

from pathlib import Path

from moorage.models.files import onnx
from moorage.runtimes.encoding.graphs import folder
from moorage.runtimes.encoding.graphs.model import Opened
from moorage.runtimes.encoding.graphs.tokenizer import Tokenizer
from moorage.runtimes.onnx import graph
from moorage.runtimes.onnx.session import Session
from moorage.wire.runtime import EncoderSettings


def opened(settings: EncoderSettings) -> Opened:
    """Of a folder, or of an ONNX file in one. Raises EngineError, ModelError."""
    path = Path(settings.model_path)
    root, named = (path, None) if path.is_dir() else (folder.around(path), path)
    found = folder.read(root)
    folder.check_tokenizer(found.base, named)
    source, longest = _source(found.base, named or onnx.model_file(found.base), quantize=settings.quantize)
    return Opened(
        folder=found,
        tokenizer=Tokenizer(found.base / folder.TOKENIZER, lower=found.lower),
        load=lambda pad_token: Session(source, threads=settings.threads, pad_token=pad_token),
        longest=longest,
    )


def _source(base: Path, file: Path | None, *, quantize: bool) -> tuple[Path | graph.Graph, int | None]:
    """What the session loads, and how many tokens it has positions for where that is known."""
    if file is not None:
        return file, None
    written = graph.build(base, quantize=quantize)
    return written, written.max_length
