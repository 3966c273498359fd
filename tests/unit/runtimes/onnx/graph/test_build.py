"""Graphs compute what transformers computes, however a checkpoint is stored and whatever else is in the batch."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from moorage.runtimes.onnx.graph import build
from tests.unit.runtimes.onnx.graph.checkpoints import (
    ENCODERS,
    Arrays,
    configure,
    copy,
    load,
    reference,
    rename,
    run,
    save,
    session,
)

NAMES = sorted(folder.name for folder in ENCODERS.iterdir() if folder.is_dir())
LENGTHS = {"bert": 40, "distilbert": 40, "electra": 40, "modernbert": 40, "nomic": 40, "mpnet": 200}


def close(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> None:
    assert found.shape == wanted.shape
    assert found.dtype == np.float32
    assert float(np.abs(found - wanted).max()) <= 1e-4
    cosine = (found * wanted).sum() / (np.linalg.norm(found) * np.linalg.norm(wanted))
    assert cosine >= 0.99999


def real(name: str, outputs: Arrays, mask: NDArray[np.int64]) -> NDArray[np.float32]:
    """An output without the rows of padding."""
    value = outputs[name]
    return value[mask == 1] if value.ndim == 3 else value


def text(wanted: Arrays, row: int) -> Arrays:
    """One text of a reference alone, without its padding."""
    length = int(wanted["attention_mask"][row].sum())
    return {
        name: array[row : row + 1, :length]
        if array.ndim > 1 and array.shape[:2] == wanted["input_ids"].shape
        else array
        for name, array in wanted.items()
    }


@pytest.mark.parametrize("name", NAMES)
def test_it_computes_what_transformers_does(name: str) -> None:
    wanted = reference(name)
    found = run(ENCODERS / name, wanted)
    for output in ("last_hidden_state", "logits"):
        close(real(output, found, wanted["attention_mask"]), real(output, wanted, wanted["attention_mask"]))


@pytest.mark.parametrize("name", NAMES)
def test_what_it_says_of_itself(name: str) -> None:
    graph = build(ENCODERS / name)
    assert graph.outputs == ("last_hidden_state", "logits")
    kinds = name.startswith(("bert", "electra", "nomic")) or name == "roberta-tokens"
    assert graph.inputs == ("input_ids", "attention_mask", *(("token_type_ids",) if kinds else ()))
    assert graph.max_length == LENGTHS.get(name.rpartition("-")[0], 38)
    assert reference(name)["input_ids"].shape[1] == graph.max_length


@pytest.mark.parametrize("name", NAMES)
def test_a_text_is_the_same_alone_and_in_any_batch(name: str) -> None:
    wanted = reference(name)
    runner, graph = session(build(ENCODERS / name)), build(ENCODERS / name)
    for row in range(len(wanted["input_ids"])):
        alone = text(wanted, row)
        outputs = runner.run(graph.outputs, {key: alone[key] for key in graph.inputs})
        found = dict(zip(graph.outputs, outputs, strict=True))
        close(found["last_hidden_state"], alone["last_hidden_state"])
        logits = alone["logits"] if alone["logits"].ndim == 3 else wanted["logits"][row : row + 1]
        close(found["logits"], logits)


@pytest.mark.parametrize("name", NAMES)
def test_padding_may_hold_anything(name: str) -> None:
    wanted = reference(name)
    mask = wanted["attention_mask"]
    noise = np.random.default_rng(0).integers(2, 48, mask.shape)
    spoiled = {**wanted, "input_ids": np.where(mask == 1, wanted["input_ids"], noise)}
    found = run(ENCODERS / name, spoiled)
    close(real("last_hidden_state", found, mask), real("last_hidden_state", wanted, mask))


@pytest.mark.parametrize("name", NAMES)
def test_a_text_of_nothing_but_padding_disturbs_nobody(name: str) -> None:
    wanted = reference(name)
    mask = wanted["attention_mask"].copy()
    mask[1] = 0
    found = run(ENCODERS / name, {**wanted, "attention_mask": mask})
    close(real("last_hidden_state", found, mask), real("last_hidden_state", wanted, mask))
    if "modernbert" not in name:  # whose logits are a mean over no tokens
        assert np.isfinite(found["logits"]).all()


def test_a_plain_encoder_has_no_logits_and_needs_no_pooler(tmp_path: Path) -> None:
    wanted = reference("bert-sequence")
    for architectures in (["BertModel"], ["BertForMaskedLM"], None):
        folder = configure(copy("bert-sequence", tmp_path / str(architectures)), architectures=architectures)
        kept = {
            name: entry for name, entry in load(folder).items() if "pooler" not in name and "classifier" not in name
        }
        save(folder / "model.safetensors", kept)
        found = run(folder, wanted)
        assert list(found) == ["last_hidden_state"]
        mask = wanted["attention_mask"]
        close(real("last_hidden_state", found, mask), real("last_hidden_state", wanted, mask))


@pytest.mark.parametrize("prefix", ["", "model.", "0.auto_model.bert."])
def test_any_prefix_of_the_names(tmp_path: Path, prefix: str) -> None:
    wanted = reference("bert-sequence")
    folder = rename(copy("bert-sequence", tmp_path), lambda name: name.replace("bert.", prefix, 1))
    close(run(folder, wanted)["logits"], wanted["logits"])


def test_normalisations_by_their_old_names(tmp_path: Path) -> None:
    def old(name: str) -> str:
        return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")

    wanted = reference("bert-sequence")
    folder = rename(copy("bert-sequence", tmp_path), old)
    assert any(name.endswith("LayerNorm.gamma") for name in load(folder))
    close(run(folder, wanted)["logits"], wanted["logits"])


@pytest.mark.parametrize("name", ["bert-sequence", "roberta-sequence", "modernbert-tokens"])
def test_in_several_files(tmp_path: Path, name: str) -> None:
    folder, wanted = copy(name, tmp_path), reference(name)
    stored = list(load(folder).items())
    (folder / "model.safetensors").unlink()
    halves = {"a.safetensors": dict(stored[::2]), "b.safetensors": dict(stored[1::2])}
    for file, half in halves.items():
        save(folder / file, half)
    places = {tensor: file for file, half in halves.items() for tensor in half}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    mask = wanted["attention_mask"]
    close(real("logits", run(folder, wanted), mask), real("logits", wanted, mask))


def test_files_that_are_links_into_a_cache(tmp_path: Path) -> None:
    """As hubs lay their caches out."""
    wanted, blobs = reference("bert-sequence"), tmp_path / "blobs"
    folder, blobs = copy("bert-sequence", tmp_path / "snapshots" / "main"), tmp_path / "blobs"
    blobs.mkdir()
    for file in ("config.json", "model.safetensors"):
        (folder / file).rename(blobs / file.replace(".", ""))
        (folder / file).symlink_to(os.path.relpath(blobs / file.replace(".", ""), folder))
    close(run(folder, wanted)["logits"], wanted["logits"])


def test_a_relative_path_and_letters_of_any_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = reference("bert-sequence")
    copy("bert-sequence", tmp_path / "Modèle Ω 日本")
    monkeypatch.chdir(tmp_path)
    close(run(Path("Modèle Ω 日本") / "bert-sequence", wanted)["logits"], wanted["logits"])


@pytest.mark.parametrize("spaces", range(4))
@pytest.mark.parametrize("name", ["bert-sequence", "roberta-sequence", "camembert-sequence"])
def test_tensors_at_odd_places(tmp_path: Path, name: str, spaces: int) -> None:
    """The format does not align them."""
    wanted = reference(name)
    folder = copy(name, tmp_path)
    save(folder / "model.safetensors", load(folder), spaces=spaces)
    close(run(folder, wanted)["logits"], wanted["logits"])


def test_old_configurations_of_modernbert(tmp_path: Path) -> None:
    """As transformers 4 wrote them: bases of the rotation at the top, the kinds of layers as a rhythm."""
    wanted = reference("modernbert-sequence")
    old = {"global_attn_every_n_layers": 2, "global_rope_theta": 160000.0, "local_rope_theta": 10000.0}
    folder = configure(copy("modernbert-sequence", tmp_path), rope_parameters=None, layer_types=None, **old)
    close(run(folder, wanted)["logits"], wanted["logits"])


def test_the_publisher_s_configuration_of_nomic(tmp_path: Path) -> None:
    wanted = reference("nomic-sequence")
    folder = copy("nomic-sequence", tmp_path)
    theirs: dict[str, object] = {
        "activation_function": "swiglu",
        "architectures": ["NomicBertModel"],
        "layer_norm_epsilon": 1e-12,
        "max_trained_positions": 2048,
        "model_type": "nomic_bert",
        "n_embd": 16,
        "n_head": 2,
        "n_inner": 24,
        "n_layer": 2,
        "n_positions": 8192,
        "prenorm": False,
        "rotary_emb_base": 1000,
        "rotary_emb_fraction": 1.0,
        "rotary_emb_interleaved": False,
        "rotary_emb_scale_base": None,
        "use_rms_norm": False,
    }
    (folder / "config.json").write_text(json.dumps(theirs))
    assert build(folder).max_length == 2048
    mask = wanted["attention_mask"]
    close(real("last_hidden_state", run(folder, wanted), mask), real("last_hidden_state", wanted, mask))
