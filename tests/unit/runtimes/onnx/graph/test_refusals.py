"""What cannot be served is refused by name, before anything runs."""

import json
from pathlib import Path

import pytest

from moorage.errors import ModelError
from moorage.runtimes.onnx.graph import build
from tests.unit.runtimes.onnx.graph.checkpoints import ENCODERS, configure, copy, load, save

SEQUENCES = sorted(folder.name for folder in ENCODERS.iterdir() if folder.name.endswith("-sequence"))

PREFIXES = ("bert.", "roberta.", "distilbert.", "electra.", "mpnet.", "nomic_bert.", "model.", "")


def refused(folder: Path, *words: str) -> None:
    with pytest.raises(ModelError) as caught:
        build(folder)
    for word in words:
        assert word in caught.value.message


@pytest.mark.parametrize("name", SEQUENCES)
def test_every_missing_tensor_is_named(tmp_path: Path, name: str) -> None:
    """Biases may be left out where the architecture does without."""
    folder = copy(name, tmp_path)
    whole = load(folder)
    optional = name.startswith(("modernbert", "nomic"))
    for missing in whole:
        if name.startswith("nomic") and "token_type" in missing:
            continue
        save(folder / "model.safetensors", {key: entry for key, entry in whole.items() if key != missing})
        if not (optional and missing.endswith("bias") and "classifier" not in missing):
            refused(folder, next(missing.removeprefix(prefix) for prefix in PREFIXES if missing.startswith(prefix)))


@pytest.mark.parametrize("name", SEQUENCES)
def test_every_tensor_has_the_shape_the_configuration_calls_for(tmp_path: Path, name: str) -> None:
    folder = copy(name, tmp_path)
    whole = load(folder)
    for wrong, (dtype, shape, content) in whole.items():
        width = 4 if dtype == "F32" else 2
        wider = (*shape[:-1], shape[-1] + 1)
        more = content + b"\0" * width * (shape[0] if len(shape) == 2 else 1)
        save(folder / "model.safetensors", {**whole, wrong: (dtype, wider, more)})
        refused(folder, str(list(wider)))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"model_type": None}, ("model_type is missing",)),
        ({"model_type": "t5"}, ("'t5'", "xlm-roberta", "GGUF")),
        ({"model_type": 7}, ("model_type is '7'",)),
        ({"hidden_size": None}, ("hidden_size is missing",)),
        ({"hidden_size": 0}, ("hidden_size is '0'",)),
        ({"hidden_size": "16"}, ("hidden_size", "number")),
        ({"hidden_size": 1 << 70}, ("shape",)),
        ({"num_attention_heads": 3}, ("16", "3 attention heads")),
        ({"num_attention_heads": True}, ("num_attention_heads is 'True'",)),
        ({"num_hidden_layers": 3}, ("bert.encoder.layer.2.attention.self.query.weight",)),
        ({"num_hidden_layers": 1 << 62}, ("bert.encoder.layer.2.attention.self.query.weight",)),
        ({"layer_norm_eps": -1}, ("layer_norm_eps is '-1'",)),
        ({"hidden_act": "mish"}, ("'mish'", "gelu_new")),
        ({"is_decoder": True}, ("is_decoder", "True")),
        ({"position_embedding_type": "relative_key"}, ("position_embedding_type", "'relative_key'")),
        ({"architectures": ["BertForQuestionAnswering"]}, ("BertForQuestionAnswering",)),
        ({"architectures": "BertModel"}, ("architectures", "list")),
        ({"architectures": [7]}, ("architectures", "list")),
    ],
)
def test_configurations_of_bert(tmp_path: Path, values: dict[str, object], words: tuple[str, ...]) -> None:
    refused(configure(copy("bert-sequence", tmp_path), **values), *words)


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("modernbert-sequence", {"classifier_pooling": "max"}, ("'max'", "mean")),
        ("modernbert-sequence", {"layer_types": ["linear"] * 3}, ("layer_types", "sliding_attention")),
        ("modernbert-sequence", {"layer_types": ["full_attention"]}, ("layer_types", "3 layers")),
        ("modernbert-sequence", {"rope_parameters": {"full_attention": {"rope_type": "yarn"}}}, ("'yarn'",)),
        ("modernbert-sequence", {"rope_parameters": 3}, ("rope_parameters", "object")),
        ("modernbert-sequence", {"num_attention_heads": 16}, ("1 ", "rotary")),
        ("nomic-sequence", {"activation_function": "gelu"}, ("activation_function", "'swiglu'")),
        ("nomic-sequence", {"rotary_emb_fraction": 0.5}, ("rotary_emb_fraction",)),
        ("nomic-sequence", {"moe_every_n_layers": 2}, ("moe_every_n_layers",)),
        ("roberta-sequence", {"pad_token_id": -1}, ("pad_token_id", "at least 0")),
        ("roberta-sequence", {"pad_token_id": 39}, ("position_embeddings", "no row")),
        ("electra-sequence", {"embedding_size": 16}, ("embeddings.position_embeddings", "[40, 8]", "[any, 16]")),
    ],
)
def test_configurations_of_others(tmp_path: Path, name: str, values: dict[str, object], words: tuple[str, ...]) -> None:
    refused(configure(copy(name, tmp_path), **values), *words)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "is empty"), (b"[]", "must be a JSON object"), (b"{", "is not valid JSON"), (b"\xff", "is not UTF-8")],
)
def test_a_broken_config(tmp_path: Path, content: bytes, words: str) -> None:
    folder = copy("bert-sequence", tmp_path)
    (folder / "config.json").write_bytes(content)
    refused(folder, words, "config.json")


def test_no_config_no_weights_no_folder(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "config.json")
    folder = copy("bert-sequence", tmp_path)
    (folder / "model.safetensors").unlink()
    refused(folder, "no safetensors weights")
    (folder / "config.json").unlink()
    refused(folder, "config.json")


def test_types_that_are_not_served(tmp_path: Path) -> None:
    folder = copy("bert-sequence", tmp_path)
    whole = load(folder)
    name = "bert.encoder.layer.0.attention.self.query.weight"
    save(folder / "model.safetensors", {**whole, name: ("F8_E4M3", (16, 16), bytes(256))})
    refused(folder, "F8_E4M3", "attention.self.query.weight")


def test_another_architecture_than_the_configuration_names(tmp_path: Path) -> None:
    refused(configure(copy("bert-sequence", tmp_path), model_type="modernbert"), "no tensor", "tok_embeddings")


def test_two_encoders_in_one_file(tmp_path: Path) -> None:
    folder = copy("bert-sequence", tmp_path)
    whole = load(folder)
    twice = {**whole, **{f"second.{name}": entry for name, entry in whole.items()}}
    save(folder / "model.safetensors", twice)
    refused(folder, "2 tensors", "embeddings.word_embeddings.weight")


def test_a_truncated_file(tmp_path: Path) -> None:
    folder = copy("bert-sequence", tmp_path)
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    refused(folder, "truncated")


def test_an_index_that_leads_elsewhere(tmp_path: Path) -> None:
    folder = copy("bert-sequence", tmp_path)
    places = dict.fromkeys(load(folder), "../model.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    refused(folder, "model.safetensors")
