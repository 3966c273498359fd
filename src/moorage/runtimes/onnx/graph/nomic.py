"""Nomic's BERT: rotary positions, gated layers without biases, normalisation after each half of a layer.

Names of tensors as published (nomic-ai/nomic-embed-text-v1.5); configuration by the names of the publisher's code or
of Hugging Face transformers 5 (models/nomic_bert).
"""

from moorage.runtimes.onnx.graph.bert import MARKER as MARKER
from moorage.runtimes.onnx.graph.checkpoint import Checkpoint
from moorage.runtimes.onnx.graph.config import Config
from moorage.runtimes.onnx.graph.encoder import Encoder, head_width
from moorage.runtimes.onnx.graph.layers import Layers
from moorage.runtimes.onnx.graph.nodes import INT64, Nodes
from moorage.runtimes.onnx.graph.rotary import rotation

_TYPES = "embeddings.token_type_embeddings.weight"


def nomic(config: Config, checkpoint: Checkpoint, nodes: Nodes) -> Encoder:
    _refuse(config)
    width, heads = config.count("hidden_size", "n_embd"), config.count("num_attention_heads", "n_head")
    inner = config.count("intermediate_size", "n_inner")
    layers = Layers(
        nodes, checkpoint, heads=heads, epsilon=config.positive("layer_norm_eps", "layer_norm_epsilon", default=1e-12)
    )
    inputs = layers.inputs()
    theta = config.part("rope_parameters").positive(
        "rope_theta", default=config.positive("rotary_emb_base", default=1000.0)
    )
    turned = rotation(layers, inputs, head=head_width(width, heads), theta=theta)
    x = layers.embed(inputs.ids, MARKER, width)
    if checkpoint.has(_TYPES):
        kinds = nodes.input("token_type_ids", INT64, ("batch", "sequence"))
        x = nodes.add("Add", x, layers.embed(kinds, _TYPES, width))
    x = layers.norm(x, "emb_ln", width)
    for number in range(config.count("num_hidden_layers", "n_layer")):
        layer = f"encoder.layers.{number}"
        joined = layers.project(x, f"{layer}.attn.Wqkv", width, 3 * width, bias=None)
        query, key, value = nodes.split("Split", 3, joined, axis=-1, num_outputs=3)
        seen = layers.attend(inputs, turned.turn(layers, query), turned.turn(layers, key), value)
        seen = layers.project(seen, f"{layer}.attn.out_proj", width, width, bias=None)
        x = layers.norm(nodes.add("Add", seen, x), f"{layer}.norm1", width)
        up = layers.project(x, f"{layer}.mlp.fc11", width, inner, bias=None)
        gate = layers.activate("silu", layers.project(x, f"{layer}.mlp.fc12", width, inner, bias=None))
        down = layers.project(nodes.add("Mul", up, gate), f"{layer}.mlp.fc2", inner, width, bias=None)
        x = layers.norm(nodes.add("Add", down, x), f"{layer}.norm2", width)
    length = config.count("max_trained_positions", "max_position_embeddings", "n_positions", default=2048)
    return Encoder(layers=layers, inputs=inputs, states=x, width=width, max_length=length)


def _refuse(config: Config) -> None:
    """Raises ModelError for variants of the architecture that are not written here."""
    config.require("activation_function", "swiglu")
    config.require("hidden_act", "silu")
    config.require("prenorm", False)
    config.require("parallel_block", False)
    config.require("use_rms_norm", False)
    config.require("rotary_emb_fraction", 1.0)
    config.require("rotary_emb_interleaved", False)
    config.require("moe_every_n_layers", 0)
    config.part("rope_parameters").require("rope_type", "default")
