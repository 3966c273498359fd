"""BERT and its kin: learned positions, normalisation after each half of a layer.

The architectures and the names of their tensors are those of Hugging Face transformers 5 (models/bert, roberta,
electra, mpnet, distilbert); checkpoints are published in them.
"""

from dataclasses import dataclass

import numpy as np

from moorage.errors import ModelError
from moorage.runtimes.onnx.graph.checkpoint import Checkpoint
from moorage.runtimes.onnx.graph.config import Config
from moorage.runtimes.onnx.graph.encoder import Encoder, head_width
from moorage.runtimes.onnx.graph.layers import Inputs, Layers
from moorage.runtimes.onnx.graph.nodes import INT64, Nodes, Value

MARKER = "embeddings.word_embeddings.weight"
_POSITIONS = "embeddings.position_embeddings.weight"
_TYPES = "embeddings.token_type_embeddings.weight"
_DISTANT = 128
"""MPNet: keys farther away than this share one bias."""


@dataclass(frozen=True, kw_only=True)
class _Names:
    """What an architecture calls the tensors of a layer."""

    layer: str
    query: str
    key: str
    value: str
    output: str
    attention_norm: str
    up: str
    down: str
    norm: str


_BERT = _Names(
    layer="encoder.layer",
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    output="attention.output.dense",
    attention_norm="attention.output.LayerNorm",
    up="intermediate.dense",
    down="output.dense",
    norm="output.LayerNorm",
)
_MPNET = _Names(
    layer="encoder.layer",
    query="attention.attn.q",
    key="attention.attn.k",
    value="attention.attn.v",
    output="attention.attn.o",
    attention_norm="attention.LayerNorm",
    up="intermediate.dense",
    down="output.dense",
    norm="output.LayerNorm",
)
_DISTILBERT = _Names(
    layer="transformer.layer",
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    output="attention.out_lin",
    attention_norm="sa_layer_norm",
    up="ffn.lin1",
    down="ffn.lin2",
    norm="output_layer_norm",
)


@dataclass(frozen=True, kw_only=True)
class _Size:
    width: int
    heads: int
    layers: int
    inner: int
    activation: str


def bert(config: Config, checkpoint: Checkpoint, nodes: Nodes) -> Encoder:
    _refuse(config)
    size = _size(config)
    layers = _layers(config, checkpoint, nodes, size)
    inputs = layers.inputs()
    x, rows = _embed(layers, inputs, size.width, _in_order(layers, inputs))
    return _encode(layers, inputs, layers.norm(x, "embeddings.LayerNorm", size.width), size, _BERT, rows)


def electra(config: Config, checkpoint: Checkpoint, nodes: Nodes) -> Encoder:
    """BERT whose embeddings may be narrower than its layers."""
    _refuse(config)
    size, narrow = _size(config), config.count("embedding_size", default=128)
    layers = _layers(config, checkpoint, nodes, size)
    inputs = layers.inputs()
    x, rows = _embed(layers, inputs, narrow, _in_order(layers, inputs))
    x = layers.norm(x, "embeddings.LayerNorm", narrow)
    if narrow != size.width:
        x = layers.linear(x, "embeddings_project", narrow, size.width)
    return _encode(layers, inputs, x, size, _BERT, rows)


def roberta(config: Config, checkpoint: Checkpoint, nodes: Nodes) -> Encoder:
    """BERT that counts positions from the one after the padding's."""
    _refuse(config)
    size, padding = _size(config), config.index("pad_token_id", default=1)
    layers = _layers(config, checkpoint, nodes, size)
    inputs = layers.inputs()
    x, rows = _embed(layers, inputs, size.width, _after_padding(layers, inputs, padding))
    x = layers.norm(x, "embeddings.LayerNorm", size.width)
    return _encode(layers, inputs, x, size, _BERT, rows - padding - 1)


def mpnet(config: Config, checkpoint: Checkpoint, nodes: Nodes) -> Encoder:
    """RoBERTa's positions, and a bias of every head for the distance of two tokens."""
    size, padding = _size(config), 1
    layers = _layers(config, checkpoint, nodes, size)
    inputs = layers.inputs()
    x, rows = _embed(layers, inputs, size.width, _after_padding(layers, inputs, padding), types=False)
    x = layers.norm(x, "embeddings.LayerNorm", size.width)
    longest = rows - padding - 1
    buckets = config.count("relative_attention_num_buckets", default=32)
    table = checkpoint.read("encoder.relative_attention_bias.weight", buckets, size.heads)
    distances = np.arange(1 - longest, longest)
    by_distance = nodes.constant(np.ascontiguousarray(table[_bucket(distances)].T))
    index = nodes.add("Add", layers.distances(inputs), nodes.constant([longest - 1]))
    bias = nodes.add("Unsqueeze", nodes.add("Gather", by_distance, index, axis=1), nodes.constant([0]))
    return _encode(layers, inputs, x, size, _MPNET, longest, bias)


def distilbert(config: Config, checkpoint: Checkpoint, nodes: Nodes) -> Encoder:
    """BERT with other names and no token types."""
    size = _Size(
        width=config.count("dim", default=768),
        heads=config.count("n_heads", default=12),
        layers=config.count("n_layers", default=6),
        inner=config.count("hidden_dim", default=3072),
        activation=config.text("activation", default="gelu"),
    )
    head_width(size.width, size.heads)
    layers = Layers(nodes, checkpoint, heads=size.heads, epsilon=1e-12)
    inputs = layers.inputs()
    x, rows = _embed(layers, inputs, size.width, _in_order(layers, inputs), types=False)
    return _encode(layers, inputs, layers.norm(x, "embeddings.LayerNorm", size.width), size, _DISTILBERT, rows)


def _refuse(config: Config) -> None:
    """Raises ModelError for variants of the architecture that are not written here."""
    config.require("is_decoder", False)
    config.require("add_cross_attention", False)
    config.require("position_embedding_type", "absolute")


def _size(config: Config) -> _Size:
    size = _Size(
        width=config.count("hidden_size"),
        heads=config.count("num_attention_heads"),
        layers=config.count("num_hidden_layers"),
        inner=config.count("intermediate_size"),
        activation=config.text("hidden_act", default="gelu"),
    )
    head_width(size.width, size.heads)
    return size


def _layers(config: Config, checkpoint: Checkpoint, nodes: Nodes, size: _Size) -> Layers:
    epsilon = config.positive("layer_norm_eps", default=1e-12)
    return Layers(nodes, checkpoint, heads=size.heads, epsilon=epsilon)


def _embed(layers: Layers, inputs: Inputs, width: int, positions: Value, *, types: bool = True) -> tuple[Value, int]:
    """The sum of a token's embeddings, [b, s, width], and the rows of the table of positions."""
    nodes, rows = layers.nodes, layers.checkpoint.rows(_POSITIONS, width)
    x = layers.embed(inputs.ids, MARKER, width)
    if types:
        kinds = layers.checkpoint.rows(_TYPES, width)
        # One kind is no choice: clients are not asked for it.
        kind = nodes.constant([0]) if kinds == 1 else nodes.input("token_type_ids", INT64, ("batch", "sequence"))
        x = nodes.add("Add", x, layers.embed(kind, _TYPES, width))
    return nodes.add("Add", x, layers.embed(positions, _POSITIONS, width)), rows


def _in_order(layers: Layers, inputs: Inputs) -> Value:
    """Positions 0, 1, 2, …: [1, s]."""
    return layers.nodes.add("Unsqueeze", layers.positions(inputs), layers.nodes.constant([0]))


def _after_padding(layers: Layers, inputs: Inputs, padding: int) -> Value:
    """Positions padding + 1, padding + 2, …, and `padding` for the padding: [b, s]."""
    nodes, number = layers.nodes, np.array(padding, dtype=np.int64)
    pad = nodes.add("Equal", inputs.ids, nodes.constant(number))
    token = nodes.add("Cast", nodes.add("Not", pad), to=INT64)
    counted = nodes.add("CumSum", token, nodes.constant(np.array(1, dtype=np.int64)))
    return nodes.add("Add", nodes.add("Mul", counted, token), nodes.constant(number))


def _encode(
    layers: Layers, inputs: Inputs, x: Value, size: _Size, names: _Names, max_length: int, bias: Value = ""
) -> Encoder:
    if max_length < 1:
        raise ModelError(f"the checkpoint's table {_POSITIONS!r} has no row for a token")
    nodes, width = layers.nodes, size.width
    for number in range(size.layers):
        layer = f"{names.layer}.{number}"
        query, key, value = (
            layers.project(x, f"{layer}.{name}", width, width) for name in (names.query, names.key, names.value)
        )
        seen = layers.attend(inputs, query, key, value, bias)
        seen = layers.project(seen, f"{layer}.{names.output}", width, width)
        x = layers.norm(nodes.add("Add", seen, x), f"{layer}.{names.attention_norm}", width)
        inner = layers.activate(size.activation, layers.project(x, f"{layer}.{names.up}", width, size.inner))
        outer = layers.project(inner, f"{layer}.{names.down}", size.inner, width)
        x = layers.norm(nodes.add("Add", outer, x), f"{layer}.{names.norm}", width)
    return Encoder(layers=layers, inputs=inputs, states=x, width=width, max_length=max_length)


def _bucket(distances: np.ndarray[tuple[int], np.dtype[np.int64]]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Which of 32 biases a distance (key minus query) has: 16 before and 16 after the query, near ones exact, far
    ones on a logarithmic scale (Raffel et al., 2020, section 2.1, as MPNet uses it)."""
    exact = 8
    far = np.abs(distances)
    ratio = np.log(np.maximum(far, 1).astype(np.float32) / np.float32(exact)) / np.float32(np.log(_DISTANT / exact))
    logarithmic = np.minimum(exact + (ratio * np.float32(exact)).astype(np.int64), 2 * exact - 1)
    return np.where(distances > 0, 2 * exact, 0) + np.where(far < exact, far, logarithmic)
