"""ModernBERT: rotary positions, normalisation before each half of a layer, most layers seeing only their surroundings.

Names and configuration as in Hugging Face transformers 5 (models/modernbert), with those of version 4's files.
"""

from moorage.errors import ModelError
from moorage.runtimes.onnx.graph.checkpoint import Checkpoint
from moorage.runtimes.onnx.graph.config import Config
from moorage.runtimes.onnx.graph.encoder import Encoder, head_width
from moorage.runtimes.onnx.graph.layers import Layers
from moorage.runtimes.onnx.graph.nodes import Nodes
from moorage.runtimes.onnx.graph.rotary import rotation

MARKER = "embeddings.tok_embeddings.weight"
_LOCAL, _GLOBAL = "sliding_attention", "full_attention"
_KINDS = {_GLOBAL: ("global_rope_theta", 160_000.0), _LOCAL: ("local_rope_theta", 10_000.0)}
"""Kind of layer → the old name of its rotation's base, and its default."""


def modernbert(config: Config, checkpoint: Checkpoint, nodes: Nodes) -> Encoder:
    width, heads = config.count("hidden_size"), config.count("num_attention_heads")
    inner, activation = config.count("intermediate_size"), config.text("hidden_activation", default="gelu")
    head = head_width(width, heads)
    layers = Layers(nodes, checkpoint, heads=heads, epsilon=config.positive("norm_eps", default=1e-5), shift=False)
    inputs = layers.inputs()
    rotations = {
        kind: rotation(layers, inputs, head=head, theta=_theta(config, kind, *old)) for kind, old in _KINDS.items()
    }
    surroundings = config.count("local_attention", default=128) // 2
    bias = {_GLOBAL: "", _LOCAL: layers.within(layers.distances(inputs), surroundings)}
    x = layers.norm(layers.embed(inputs.ids, MARKER, width), "embeddings.norm", width)
    for number, kind in enumerate(_kinds(config)):
        layer = f"layers.{number}"
        before = layers.norm(x, f"{layer}.attn_norm", width) if number else x
        joined = layers.project(before, f"{layer}.attn.Wqkv", width, 3 * width, bias=None)
        query, key, value = nodes.split("Split", 3, joined, axis=-1, num_outputs=3)
        query, key = (rotations[kind].turn(layers, part) for part in (query, key))
        seen = layers.attend(inputs, query, key, value, bias[kind])
        x = nodes.add("Add", x, layers.project(seen, f"{layer}.attn.Wo", width, width, bias=None))
        before = layers.norm(x, f"{layer}.mlp_norm", width)
        joined = layers.project(before, f"{layer}.mlp.Wi", width, 2 * inner, bias=None)
        up, gate = nodes.split("Split", 2, joined, axis=-1, num_outputs=2)
        gated = nodes.add("Mul", layers.activate(activation, up), gate)
        x = nodes.add("Add", x, layers.project(gated, f"{layer}.mlp.Wo", inner, width, bias=None))
    return Encoder(
        layers=layers,
        inputs=inputs,
        states=layers.norm(x, "final_norm", width),
        width=width,
        max_length=config.count("max_position_embeddings", default=8192),
    )


def _kinds(config: Config) -> tuple[str, ...]:
    """The kind of each layer: as listed, or every n-th sees the whole text."""
    listed = config.texts("layer_types", _GLOBAL, _LOCAL)
    count = config.count("num_hidden_layers")
    if listed and len(listed) < count:
        raise ModelError(f"config.json has {len(listed)} layer_types for {count} layers")
    if listed:
        return listed[:count]
    every = config.count("global_attn_every_n_layers", default=3)
    return tuple(_LOCAL if number % every else _GLOBAL for number in range(count))


def _theta(config: Config, kind: str, old: str, default: float) -> float:
    new = config.part("rope_parameters").part(kind)
    new.require("rope_type", "default")
    return new.positive("rope_theta", default=config.positive(old, default=default))
