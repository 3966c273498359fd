"""What stands on an encoder that classifies or ranks: each architecture's own way from hidden states to logits."""

from collections.abc import Callable

from moorage.errors import ModelError
from moorage.runtimes.onnx.graph.config import Config
from moorage.runtimes.onnx.graph.encoder import Encoder
from moorage.runtimes.onnx.graph.nodes import Value

Head = Callable[[Config, Encoder], tuple[Value, int]]
"""→ the logits, [b, labels], or [b, s, labels] of a head on tokens, and the number of labels."""


def pooled(config: Config, encoder: Encoder) -> tuple[Value, int]:
    """Of BERT: the pooler it was trained with, and a classifier."""
    layers, width = encoder.layers, encoder.width
    x = layers.linear(layers.first(encoder.states), "pooler.dense", width, width)
    return _logits(encoder, layers.activate("tanh", x), "classifier")


def dense(activation: str) -> Head:
    """Of RoBERTa, MPNet and ELECTRA: two layers of the head's own, differing in what is between."""

    def head(config: Config, encoder: Encoder) -> tuple[Value, int]:
        layers, width = encoder.layers, encoder.width
        x = layers.linear(layers.first(encoder.states), "classifier.dense", width, width)
        return _logits(encoder, layers.activate(activation, x), "classifier.out_proj")

    return head


def rectified(config: Config, encoder: Encoder) -> tuple[Value, int]:
    """Of DistilBERT."""
    layers, width = encoder.layers, encoder.width
    x = layers.linear(layers.first(encoder.states), "pre_classifier", width, width)
    return _logits(encoder, layers.activate("relu", x), "classifier")


def normed(config: Config, encoder: Encoder) -> tuple[Value, int]:
    """Of ModernBERT, on the first token or on the mean of all."""
    match config.text("classifier_pooling", default="cls"):
        case "cls":
            x = encoder.layers.first(encoder.states)
        case "mean":
            x = encoder.layers.mean(encoder.states, encoder.inputs.mask)
        case other:
            raise ModelError(f"config.json sets classifier_pooling to {other!r}; it must be 'cls' or 'mean'")
    return _normed(config, encoder, x)


def tokens(config: Config, encoder: Encoder) -> tuple[Value, int]:
    """Of all but ModernBERT: a classifier on every token."""
    return _logits(encoder, encoder.states, "classifier")


def normed_tokens(config: Config, encoder: Encoder) -> tuple[Value, int]:
    """Of ModernBERT."""
    return _normed(config, encoder, encoder.states)


def _normed(config: Config, encoder: Encoder, x: Value) -> tuple[Value, int]:
    layers, width = encoder.layers, encoder.width
    x = layers.linear(x, "head.dense", width, width, bias=None)
    x = layers.activate(config.text("classifier_activation", default="gelu"), x)
    return _logits(encoder, layers.norm(x, "head.norm", width), "classifier")


def _logits(encoder: Encoder, x: Value, name: str) -> tuple[Value, int]:
    """As many labels as the checkpoint has, whatever the configuration says of their names."""
    labels = encoder.layers.checkpoint.rows(f"{name}.weight", encoder.width)
    return encoder.layers.linear(x, name, encoder.width, labels), labels
