"""The files of sentence-transformers: modules, pooling in each of its spellings, lengths, cross-encoders."""

from pathlib import Path

import pytest

from moorage.errors import ModelError
from moorage.models.files import facts
from tests.unit.models.files.small_files import BERT, bert, put, safetensors

TRANSFORMER = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
POOLING = {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode_lasttoken": True}, "last"),
        ({"pooling_mode_max_tokens": True}, "max"),
        ({"pooling_mode_weightedmean_tokens": True}, "other"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, "other"),
        ({"pooling_mode": "lasttoken"}, "last"),
        ({"pooling_mode": ["mean"]}, "mean"),
        ({"pooling_mode": ["mean", "max"]}, "other"),
        ({"pooling_mode": "new"}, "other"),
        ({}, "mean"),
    ],
)
def test_pooling(tmp_path: Path, config: dict[str, object], expected: str) -> None:
    bert(tmp_path, files={"modules.json": [TRANSFORMER, POOLING], "1_Pooling/config.json": config})
    found = facts(tmp_path)
    assert (found.task, found.pooling) == ("embed", expected)


def test_no_pooling_said(tmp_path: Path) -> None:
    assert facts(bert(tmp_path / "bare")).pooling is None
    assert facts(bert(tmp_path / "module", files={"modules.json": [TRANSFORMER]})).pooling is None


def test_splade_is_none_of_the_poolings(tmp_path: Path) -> None:
    modules = [
        {"path": "", "type": "sentence_transformers.sparse_encoder.models.MLMTransformer"},
        {"path": "1_SpladePooling", "type": "sentence_transformers.sparse_encoder.models.SpladePooling"},
    ]
    assert facts(bert(tmp_path, files={"modules.json": modules})).pooling == "other"


def test_the_old_layout_with_the_transformer_in_a_folder(tmp_path: Path) -> None:
    bert(tmp_path / "0_Transformer", files={"sentence_bert_config.json": {"max_seq_length": 9}})
    put(tmp_path, {"modules.json": [{**TRANSFORMER, "path": "0_Transformer"}]})
    found = facts(tmp_path)
    assert (found.architecture, found.context_length, found.path) == ("bert", 9, str(tmp_path))
    assert found.weights == (str(tmp_path / "0_Transformer" / "model.safetensors"),)


@pytest.mark.parametrize(
    "files",
    [
        {"config_sentence_transformers.json": {"model_type": "CrossEncoder"}},
        {"modules.json": [TRANSFORMER, {"path": "1", "type": "sentence_transformers.cross_encoder.LogitScore"}]},
    ],
)
def test_cross_encoders_around_a_causal_model(tmp_path: Path, files: dict[str, object]) -> None:
    found = facts(bert(tmp_path, {**BERT, "architectures": ["Qwen3ForCausalLM"]}, files))
    assert (found.task, found.pooling) == ("rerank", None)


@pytest.mark.parametrize(
    ("modules", "says"),
    [
        ("[", "is not valid JSON"),
        ({}, "must be a JSON list of objects, not {}"),
        ([1], "must be a JSON list of objects, not [1]"),
        ([], "begins with 'nothing'"),
        ([{"type": "sentence_transformers.models.StaticEmbedding"}], "begins with 'StaticEmbedding'"),
        ([{"type": 5}], "'0.type' must be a text, not 5"),
        ([{**TRANSFORMER, "path": "../other"}], "'../other', which is not in the model's own"),
        ([{**TRANSFORMER, "path": "/etc"}], "'/etc', which is not in the model's own"),
        ([{**TRANSFORMER, "path": "gone"}], "gone"),
        ([TRANSFORMER, POOLING], "1_Pooling"),
    ],
)
def test_modules_that_are_wrong(tmp_path: Path, modules: object, says: str) -> None:
    bert(tmp_path, files={"modules.json": modules})
    with pytest.raises(ModelError) as caught:
        facts(tmp_path)
    assert says in str(caught.value)


def test_a_pooling_of_the_wrong_type(tmp_path: Path) -> None:
    bert(
        tmp_path, files={"modules.json": [TRANSFORMER, POOLING], "1_Pooling/config.json": {"pooling_mode_cls_token": 1}}
    )
    with pytest.raises(ModelError, match="'pooling_mode_cls_token' must be true or false, not 1"):
        facts(tmp_path)


def test_weights_of_a_sentence_encoder_in_half_precision(tmp_path: Path) -> None:
    half = safetensors({"embeddings.word_embeddings.weight": ("F16", (10, 8))})
    found = facts(bert(tmp_path, files={"modules.json": [TRANSFORMER], "model.safetensors": half}))
    assert (found.quantization, found.parameters) == ("F16", 80)
