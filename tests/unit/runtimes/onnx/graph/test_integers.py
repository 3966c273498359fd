"""Encoders whose layers compute in 8-bit integers: near the float result, and each text for itself."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from moorage.errors import ModelError
from moorage.runtimes.onnx.graph import build
from tests.unit.runtimes.onnx.graph.checkpoints import ENCODERS, copy, load, reference, save, session

NAMES = ("bert-sequence", "mpnet-sequence", "modernbert-tokens", "nomic-sequence", "camembert-sequence")


def cosine(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    return float((left * right).sum() / (np.linalg.norm(left) * np.linalg.norm(right)))


@pytest.mark.parametrize("name", NAMES)
def test_near_the_float_result(name: str) -> None:
    wanted = reference(name)
    graph = build(ENCODERS / name, quantize=True)
    states, logits = session(graph).run(graph.outputs, {key: wanted[key] for key in graph.inputs})
    mask = wanted["attention_mask"]
    assert cosine(states[mask == 1], wanted["last_hidden_state"][mask == 1]) >= 0.99
    assert np.isfinite(logits).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_text_does_not_depend_on_the_batch(name: str) -> None:
    wanted = reference(name)
    graph = build(ENCODERS / name, quantize=True)
    runner = session(graph)
    together = runner.run(graph.outputs, {key: wanted[key] for key in graph.inputs})[0]
    for row, length in enumerate(wanted["attention_mask"].sum(1)):
        alone = runner.run(graph.outputs, {key: wanted[key][row : row + 1, :length] for key in graph.inputs})[0]
        assert cosine(alone[0], together[row, :length]) >= 0.9999


def test_weights_of_nothing_but_zeros(tmp_path: Path) -> None:
    folder = copy("bert-sequence", tmp_path)
    zeros = {name: (dtype, shape, bytes(len(content))) for name, (dtype, shape, content) in load(folder).items()}
    save(folder / "model.safetensors", zeros)
    wanted, graph = reference("bert-sequence"), build(folder, quantize=True)
    assert not session(graph).run(graph.outputs, {key: wanted[key] for key in graph.inputs})[0].any()


def test_weights_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    folder = copy("bert-sequence", tmp_path)
    whole, name = load(folder), "bert.encoder.layer.1.output.dense.weight"
    dtype, shape, content = whole[name]
    save(folder / "model.safetensors", {**whole, name: (dtype, shape, content[:-4] + b"\0\0\xc0\x7f")})
    with pytest.raises(ModelError, match=r"encoder\.layer\.1\.output\.dense\.weight.* not a number"):
        build(folder, quantize=True)
