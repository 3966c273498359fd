"""config.json and what lies beside it: sizes, lengths, templates, quantisation; and the ways it can be wrong."""

from pathlib import Path
from typing import Any

import pytest

from moorage.errors import ModelError
from moorage.models.files import facts
from tests.unit.models.files.small_files import BERT, bert, safetensors


def test_a_causal_model(tmp_path: Path) -> None:
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 4096,
        "vocab_size": 100,
        "rope_theta": 1e4,
        "anything": [None, {"nested": float("inf")}],
    }
    tokenizer = {"chat_template": "{{ messages }}", "model_max_length": 1000000000000000019884624838656}
    found = facts(bert(tmp_path, config, {"tokenizer_config.json": tokenizer}))
    assert (found.task, found.architecture, found.context_length) == ("generate", "llama", 4096)
    assert (found.layers, found.heads, found.kv_heads, found.embedding_length) == (3, 8, 2, 64)
    assert (found.key_length, found.value_length, found.vocabulary) == (16, 16, 100)
    assert (found.chat_template, found.pooling, found.quantization) == ("{{ messages }}", None, "F32")
    assert found.path == str(tmp_path)
    assert found.weights == (str(tmp_path / "model.safetensors"),)
    assert (found.parameters, found.size_bytes) == (80, (tmp_path / "model.safetensors").stat().st_size)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"n_layer": 2, "n_head": 4, "n_embd": 32, "n_positions": 1024}, (2, 4, 32, 1024)),
        ({"n_layers": 6, "n_heads": 12, "dim": 768, "max_position_embeddings": 512.0}, (6, 12, 768, 512)),
        ({"text_config": {"num_hidden_layers": 5, "num_attention_heads": 2, "hidden_size": 8}}, (5, 2, 8, None)),
        ({"num_hidden_layers": None, "max_position_embeddings": -1}, (None, None, None, None)),
        ({"num_attention_heads": [8, None, 16]}, (None, 16, None, None)),
    ],
)
def test_other_names_for_the_same(tmp_path: Path, config: dict[str, Any], expected: tuple[int | None, ...]) -> None:
    found = facts(bert(tmp_path, {"architectures": ["XForCausalLM"], "vocab_size": 5, **config}))
    assert (found.layers, found.heads, found.embedding_length, found.context_length) == expected
    assert found.architecture == "XForCausalLM"


@pytest.mark.parametrize(
    ("kind", "files", "expected"),
    [
        ("bert", {}, 514),
        ("roberta", {}, 512),
        ("xlm-roberta", {}, 512),
        ("mpnet", {}, 512),
        ("roberta", {"sentence_bert_config.json": {"max_seq_length": 384}}, 384),
        ("roberta", {"sentence_roberta_config.json": {"max_seq_length": 128}}, 128),
        ("roberta", {"sentence_bert_config.json": {"max_seq_length": None}}, 512),
        ("roberta", {"tokenizer_config.json": {"model_max_length": 256}}, 256),
        ("roberta", {"tokenizer_config.json": {"model_max_length": 1e30}}, 512),
        ("roberta", {"tokenizer_config.json": {"model_max_length": 8192}}, 512),
    ],
)
def test_the_context(tmp_path: Path, kind: str, files: dict[str, object], expected: int) -> None:
    config = {**BERT, "model_type": kind, "max_position_embeddings": 514}
    assert facts(bert(tmp_path, config, files)).context_length == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"tokenizer_config.json": {"chat_template": ""}}, None),
        ({"tokenizer_config.json": {"chat_template": "one"}}, "one"),
        ({"tokenizer_config.json": {"chat_template": [{"name": "rag", "template": "x"}]}}, None),
        (
            {
                "tokenizer_config.json": {
                    "chat_template": [{"name": "rag", "template": "x"}, {"name": "default", "template": "two"}]
                }
            },
            "two",
        ),
        ({"tokenizer_config.json": {"chat_template": "old"}, "chat_template.jinja": "né {{ x }}"}, "né {{ x }}"),
        ({"chat_template.json": {"chat_template": "processor's"}}, "processor's"),
    ],
)
def test_chat_templates(tmp_path: Path, files: dict[str, object], expected: str | None) -> None:
    assert facts(bert(tmp_path, {**BERT, "architectures": ["AForCausalLM"]}, files)).chat_template == expected


PACKED = {
    "model.layers.0.q_proj.qweight": ("I32", (4, 8)),
    "model.layers.0.q_proj.qzeros": ("I32", (1, 8)),
    "model.layers.0.q_proj.scales": ("F16", (1, 8)),
    "model.norm.weight": ("F16", (8,)),
    "position_ids": ("I64", (512,)),
}


@pytest.mark.parametrize(
    ("settings", "words", "parameters"),
    [
        ({}, "F16", 8),
        ({"quantization_config": {"quant_method": "awq", "bits": 4}}, "awq 4-bit", 32 * 8 + 8),
        ({"quantization_config": {"quant_method": "gptq", "bits": 8}}, "gptq 8-bit", 32 * 4 + 8),
        ({"quantization_config": {"quant_method": "fp8"}}, "fp8 8-bit", 32 * 4 + 8),
        ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}, "bitsandbytes 4-bit", 264),
        (
            {
                "quantization_config": {
                    "quant_method": "compressed-tensors",
                    "config_groups": {"group_0": {"weights": {"num_bits": 4}}},
                }
            },
            "compressed-tensors 4-bit",
            264,
        ),
        ({"quantization": {"group_size": 64, "bits": 4}}, "mlx 4-bit", 264),
    ],
)
def test_quantised_weights(tmp_path: Path, settings: dict[str, Any], words: str, parameters: int) -> None:
    config = {**BERT, "architectures": ["AForCausalLM"], **settings}
    found = facts(bert(tmp_path, config, {"model.safetensors": safetensors(PACKED)}))
    assert (found.quantization, found.parameters) == (words, parameters)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("", "is empty"),
        ("{", "is not valid JSON"),
        (b"\xff\xfe{}", "is not"),
        ("[]", "must be a JSON object, not []"),
        ('"text"', 'must be a JSON object, not "text"'),
        ("[" * 100_000, "is nested too deeply"),
        ("9" * 5000, "is not valid JSON"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:1", "git-lfs pointer"),
        ({**BERT, "hidden_size": "768"}, "'hidden_size' must be a whole number, not \"768\""),
        ({**BERT, "hidden_size": 7.5}, "'hidden_size' must be a whole number, not 7.5"),
        ({**BERT, "hidden_size": True}, "'hidden_size' must be a whole number, not true"),
        ({**BERT, "hidden_size": {"a": "b" * 100}}, "…"),
        ({**BERT, "architectures": "BertModel"}, "'architectures' must be a list of texts"),
        ({**BERT, "architectures": [1]}, "'architectures' must be a list of texts"),
        ({**BERT, "model_type": 5}, "'model_type' must be a text, not 5"),
        ({**BERT, "id2label": ["a"]}, "'id2label' must be an object"),
        ({**BERT, "id2label": {"a": "b"}}, "'id2label' must have numbers as keys"),
        ({**BERT, "quantization_config": 4}, "'quantization_config' must be an object"),
        ({**BERT, "text_config": {"hidden_size": "8"}}, "'text_config.hidden_size' must be a whole number"),
    ],
)
def test_a_config_that_is_wrong(tmp_path: Path, config: object, says: str) -> None:
    bert(tmp_path, files={"config.json": config})
    with pytest.raises(ModelError) as caught:
        facts(tmp_path)
    assert says in str(caught.value)
    assert "config.json" in str(caught.value)


@pytest.mark.parametrize("name", ["tokenizer_config.json", "chat_template.jinja", "modules.json", "config.json"])
def test_a_file_too_large_for_its_name(tmp_path: Path, name: str) -> None:
    bert(tmp_path)
    with (tmp_path / name).open("wb") as sparse:
        sparse.truncate(1 << 36)
    with pytest.raises(ModelError, match="is not what its name says: it has 68719476736 bytes"):
        facts(tmp_path)
