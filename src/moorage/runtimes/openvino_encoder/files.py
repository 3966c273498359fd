"""A model as OpenVINO loads it: an IR and what is beside it."""

import os
from pathlib import Path

from moorage.errors import ModelError
from moorage.models.files import openvino
from moorage.runtimes.encoding.graphs import folder
from moorage.runtimes.encoding.graphs.folder import Folder
from moorage.runtimes.encoding.graphs.model import Opened
from moorage.runtimes.encoding.graphs.tokenizer import Tokenizer
from moorage.runtimes.encoding.graphs.vocabulary import Vocabulary
from moorage.runtimes.openvino_encoder.session import Session
from moorage.runtimes.openvino_encoder.tokenizer import GRAPH, IrTokenizer
from moorage.wire.runtime import EncoderSettings


def opened(settings: EncoderSettings) -> Opened:
    """Of a folder, or of an IR in one. Raises EngineError, ModelError."""
    path = Path(settings.model_path)
    named = path if path.suffix == openvino.SUFFIX else None
    found = folder.read(folder.around(named) if named else path)
    graphs = (named,) if named else openvino.find(found.base)
    if not graphs:
        raise ModelError(f"{str(found.base)!r} has no IR of OpenVINO (openvino_model.xml)")
    graph = graphs[0]
    openvino.read(graph)  # tells of what is damaged better than the library does
    return Opened(
        folder=found,
        tokenizer=_tokenizer(found, graph.parent, pairs=settings.task == "rerank"),
        load=lambda pad_token: Session(graph, threads=settings.threads, pad_token=pad_token),
    )


def _tokenizer(found: Folder, beside: Path, *, pairs: bool) -> Vocabulary:
    """By tokenizer.json where there is one, else by the IR that exporters write."""
    if not os.path.lexists(found.base / folder.TOKENIZER) and os.path.lexists(beside / GRAPH):
        return IrTokenizer(beside, pairs=pairs, lower=found.lower)
    folder.check_tokenizer(found.base)
    return Tokenizer(found.base / folder.TOKENIZER, lower=found.lower)
