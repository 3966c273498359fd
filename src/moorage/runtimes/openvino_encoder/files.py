"""A model as OpenVINO loads it: an IR and what is beside it."""

from pathlib import Path

from moorage.errors import ModelError
from moorage.models.files import openvino
from moorage.runtimes.encoding.graphs import folder
from moorage.runtimes.encoding.graphs.model import Opened
from moorage.runtimes.encoding.graphs.tokenizer import Tokenizer
from moorage.runtimes.openvino_encoder.session import Session
from moorage.wire.runtime import EncoderSettings


def opened(settings: EncoderSettings) -> Opened:
    """Of a folder. Raises EngineError, ModelError."""
    found = folder.read(Path(settings.model_path))
    graphs = openvino.find(found.base)
    if not graphs:
        raise ModelError(f"{str(found.base)!r} has no IR of OpenVINO (openvino_model.xml)")
    openvino.read(graphs[0])  # tells of what is damaged better than the library does
    folder.check_tokenizer(found.base)
    return Opened(
        folder=found,
        tokenizer=Tokenizer(found.base / folder.TOKENIZER, lower=found.lower),
        load=lambda pad_token: Session(graphs[0], threads=settings.threads, pad_token=pad_token),
    )
