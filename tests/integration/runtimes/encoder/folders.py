"""Folders of models that a test makes from the packaged MiniLM: with a head on it, in int8, or spoiled."""

import json
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from moorage.models.files.safetensors import tensors
from moorage.runtimes.onnx.graph import build
from tests.unit.runtimes.onnx.graph.checkpoints import Stored, save, session

SETTINGS = ("config.json", "tokenizer.json", "tokenizer_config.json")
LABELS = {"0": "calm", "1": "glad", "2": "cross"}
Floats = NDArray[np.float32]


def with_head(minilm: Path, folder: Path, rows: int, **config: Any) -> Path:
    """A sequence classifier of so many labels: MiniLM's own weights, and a classifier of fixed random ones."""
    _settings(minilm, folder, architectures=["BertForSequenceClassification"], **config)
    save(folder / "model.safetensors", {**load(minilm), **_head(rows)})
    return folder


def tagger(minilm: Path, folder: Path) -> Path:
    """A classifier of tokens."""
    _settings(minilm, folder, architectures=["BertForTokenClassification"], id2label=LABELS)
    save(folder / "model.safetensors", {**load(minilm), **_head(3)})
    return folder


def in_int8(minilm: Path, graph: Path, folder: Path) -> Path:
    """The graph of one package with the tokenizer and modules of another."""
    shutil.copytree(minilm, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    (folder / "model.onnx").symlink_to(graph)
    return folder


def changed(minilm: Path, folder: Path, **files: object) -> Path:
    """A copy by links; values are contents by name with `__` for `/` and `_` for `.`: JSON, bytes, or None to leave a
    file out."""
    for path in minilm.rglob("*"):
        if path.is_file() and path.suffix in (".json", ".safetensors"):
            place = folder / path.relative_to(minilm)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path)
    for name, content in files.items():
        place = folder / name.replace("__", "/")
        place = place.with_name(place.name[::-1].replace("_", ".", 1)[::-1])
        place.unlink(missing_ok=True)
        if content is not None:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return folder


def spoiled(minilm: Path, folder: Path, tensor: str, row: int | None) -> Path:
    """One row of a tensor, or all of it, is NaN."""
    changed(minilm, folder, model_safetensors=None)
    stored = load(minilm)
    kind, shape, content = stored[tensor]
    values = np.frombuffer(content, "<f4").reshape(shape).copy()
    values[slice(None) if row is None else row] = np.nan
    save(folder / "model.safetensors", {**stored, tensor: (kind, shape, values.tobytes())})
    return folder


@cache
def head_of(folder: Path) -> tuple[Floats, Floats, Floats, Floats]:
    """Weights and biases of pooler and classifier."""
    stored = load(folder)
    names = ("pooler.dense.weight", "pooler.dense.bias", "classifier.weight", "classifier.bias")
    found = [np.frombuffer(stored[name][2], "<f4").reshape(stored[name][1]) for name in names]
    return found[0], found[1], found[2], found[3]


def logits(folder: Path, ids: Sequence[int], types: Sequence[int]) -> Floats:
    """What BERT's head gives for one text or pair, by the head's formula on the encoder's states."""
    feeds = {
        "input_ids": np.array([ids], np.int64),
        "attention_mask": np.ones((1, len(ids)), np.int64),
        "token_type_ids": np.array([types or [0] * len(ids)], np.int64),
    }
    (states,) = _session(folder).run(["last_hidden_state"], feeds)
    pooler, pooler_bias, classifier, classifier_bias = head_of(folder)
    return np.tanh(states[0, 0] @ pooler.T + pooler_bias) @ classifier.T + classifier_bias


def load(folder: Path) -> Stored:
    found = tensors(folder)
    content = (folder / "model.safetensors").read_bytes()
    return {
        name: (tensor.dtype, tensor.shape, content[tensor.offset : tensor.offset + tensor.length])
        for name, tensor in found.items()
    }


@cache
def _session(folder: Path) -> onnxruntime.InferenceSession:
    return session(build(folder))


def _head(rows: int) -> Stored:
    random = np.random.default_rng(11)
    weight = random.normal(0, 0.2, (rows, 384)).astype("<f4")
    bias = random.normal(0, 0.2, rows).astype("<f4")
    return {
        "classifier.weight": ("F32", weight.shape, weight.tobytes()),
        "classifier.bias": ("F32", bias.shape, bias.tobytes()),
    }


def _settings(minilm: Path, folder: Path, **config: Any) -> None:
    folder.mkdir(parents=True)
    for name in SETTINGS:
        shutil.copyfile(minilm / name, folder / name)
    values = {**json.loads((minilm / "config.json").read_bytes()), **config}
    (folder / "config.json").write_text(json.dumps(values))
