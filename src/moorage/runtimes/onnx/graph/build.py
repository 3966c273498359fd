"""From a folder with config.json and safetensors to a graph."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from moorage.errors import ModelError
from moorage.runtimes.onnx.graph import bert, heads, modernbert, nomic
from moorage.runtimes.onnx.graph.checkpoint import Checkpoint, open_checkpoint
from moorage.runtimes.onnx.graph.config import Config, read_config
from moorage.runtimes.onnx.graph.encoder import Encoder
from moorage.runtimes.onnx.graph.model import Graph
from moorage.runtimes.onnx.graph.nodes import FLOAT, Nodes


@dataclass(frozen=True)
class _Architecture:
    marker: str
    """A tensor that every checkpoint has."""
    write: Callable[[Config, Checkpoint, Nodes], Encoder]
    sequence: heads.Head
    tokens: heads.Head = heads.tokens


_ROBERTA = _Architecture(bert.MARKER, bert.roberta, heads.dense("tanh"))
_ARCHITECTURES = {
    "bert": _Architecture(bert.MARKER, bert.bert, heads.pooled),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "distilbert": _Architecture(bert.MARKER, bert.distilbert, heads.rectified),
    "mpnet": _Architecture(bert.MARKER, bert.mpnet, heads.dense("tanh")),
    "electra": _Architecture(bert.MARKER, bert.electra, heads.dense("gelu")),
    "modernbert": _Architecture(modernbert.MARKER, modernbert.modernbert, heads.normed, heads.normed_tokens),
    "nomic_bert": _Architecture(nomic.MARKER, nomic.nomic, heads.pooled),
}
_PLAIN = ("Model", "ForMaskedLM", "ForPreTraining")
"""How classes without a head of use here end: their encoder is served."""


def build(folder: Path, *, quantize: bool = False) -> Graph:
    """Write the graph of the checkpoint in a folder: milliseconds, whatever its size.

    With `quantize`, the layers compute in 8-bit integers: about twice as fast on processors with VNNI, at a cosine of
    0.995 and more to the float result. Their weights are then read and rounded here, and held by the graph.

    Raises ModelError: no such checkpoint, files that are broken or do not belong together, an architecture or a head
    that is not written here.
    """
    config = read_config(folder)
    kind = config.text("model_type")
    if kind not in _ARCHITECTURES:
        raise ModelError(
            f"{str(folder)!r} is of the architecture {kind!r}; encoders are served from safetensors where they are "
            f"{', '.join(_ARCHITECTURES)}: use a copy of the model in the ONNX or GGUF format"
        )
    architecture = _ARCHITECTURES[kind]
    checkpoint, nodes = open_checkpoint(folder, architecture.marker, quantize=quantize), Nodes(kind)
    encoder = architecture.write(config, checkpoint, nodes)
    nodes.output(encoder.states, "last_hidden_state", FLOAT, ("batch", "sequence", encoder.width))
    names = config.texts("architectures")
    if any(name.endswith("ForSequenceClassification") for name in names):
        logits, labels = architecture.sequence(config, encoder)
        nodes.output(logits, "logits", FLOAT, ("batch", labels))
    elif any(name.endswith("ForTokenClassification") for name in names):
        logits, labels = architecture.tokens(config, encoder)
        nodes.output(logits, "logits", FLOAT, ("batch", "sequence", labels))
    elif names and not any(name.endswith(_PLAIN) for name in names):
        raise ModelError(
            f"{str(folder)!r} is a {names[0]}; served from safetensors are encoders without a head and those that "
            "end in ForSequenceClassification or ForTokenClassification"
        )
    return Graph(
        model=nodes.model(),
        settings=checkpoint.settings,
        inputs=nodes.inputs,
        outputs=nodes.outputs,
        max_length=encoder.max_length,
    )
