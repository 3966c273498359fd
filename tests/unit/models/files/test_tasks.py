"""The rules by which files say what a model is for."""

from pathlib import Path
from typing import Any

import pytest

from moorage.errors import ModelError
from moorage.models.files import facts, tasks
from moorage.models.files.document import Document
from moorage.models.files.onnx import Port
from moorage.wire.names import Task
from tests.unit.models.files.small_files import BERT, bert, safetensors

CONFIG = Path("config.json")
MODULES = [
    {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]


def task(config: dict[str, Any], labels: int = 2, *, sentence: bool = False, cross: bool = False) -> Task:
    document = Document(CONFIG, {"vocab_size": 10, **config})
    return tasks.from_config(document, labels, sentence=sentence, cross_encoder=cross, head=False)


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        ("BertModel", "embed"),
        ("RobertaModel", "embed"),
        ("XLMRobertaModel", "embed"),
        ("DistilBertModel", "embed"),
        ("MPNetModel", "embed"),
        ("MPNetForMaskedLM", "embed"),
        ("BertForMaskedLM", "embed"),
        ("BertForPreTraining", "embed"),
        ("NomicBertModel", "embed"),
        ("T5EncoderModel", "embed"),
        ("MistralModel", "embed"),
        ("BertForTokenClassification", "classify"),
        ("LlamaForCausalLM", "generate"),
        ("GPT2LMHeadModel", "generate"),
        ("T5ForConditionalGeneration", "generate"),
        ("Qwen2VLForConditionalGeneration", "generate"),
        ("WhisperForConditionalGeneration", "transcribe"),
        ("Wav2Vec2ForCTC", "transcribe"),
    ],
)
def test_by_architecture(architecture: str, expected: Task) -> None:
    assert task({"architectures": [architecture]}) == expected


@pytest.mark.parametrize(("labels", "expected"), [(1, "rerank"), (2, "classify"), (3, "classify")])
def test_by_labels(labels: int, expected: Task) -> None:
    assert task({"architectures": ["BertForSequenceClassification"]}, labels) == expected
    assert task({"architectures": ["XLMRobertaForSequenceClassification"]}, labels, cross=True) == expected


def test_by_what_is_around_it() -> None:
    assert task({"architectures": ["Qwen3ForCausalLM"]}, sentence=True) == "embed"
    assert task({"architectures": ["Qwen3ForCausalLM"]}, cross=True) == "rerank"
    assert task({"model_type": "whisper", "architectures": ["WhisperForConditionalGeneration"]}) == "transcribe"


@pytest.mark.parametrize(
    ("kind", "expected"), [("bert", "embed"), ("modernbert", "embed"), ("llama", "generate"), ("whisper", "transcribe")]
)
def test_without_an_architecture(kind: str, expected: Task) -> None:
    assert task({"model_type": kind}) == expected


@pytest.mark.parametrize(
    "config",
    [
        {"architectures": ["BertForQuestionAnswering"]},
        {"architectures": ["CLIPModel"], "vision_config": {}},
        {"architectures": ["ViTModel"], "vocab_size": None},
        {"architectures": ["ViTForImageClassification"], "vocab_size": None},
    ],
)
def test_what_is_for_something_else(config: dict[str, Any]) -> None:
    with pytest.raises(ModelError) as caught:
        task(config)
    assert config["architectures"][0] in str(caught.value)
    assert "none of the tasks" in str(caught.value)


IDS = Port("input_ids", "INT64", ("batch", "sequence"))


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ((Port("last_hidden_state", "FLOAT", ("b", "s", 384)),), "embed"),
        ((Port("token_embeddings", "FLOAT", None), Port("sentence_embedding", "FLOAT", ("b", 384))), "embed"),
        ((Port("logits", "FLOAT", ("b", 1)),), "rerank"),
        ((Port("logits", "FLOAT", ("b", 3)),), "classify"),
        ((Port("logits", "FLOAT", ("b", "n")),), "classify"),
        ((Port("logits", "FLOAT", ("b", "s", 9)),), "classify"),
        ((Port("logits", "FLOAT", ("b", "s", 32000)),), "generate"),
        ((Port("logits", "FLOAT", ("b", "s", "v")), Port("present.0.key", "FLOAT", None)), "generate"),
    ],
)
def test_by_a_graph_alone(outputs: tuple[Port, ...], expected: Task) -> None:
    assert tasks.from_ports(CONFIG, (IDS,), outputs) == expected


def test_a_graph_that_reads_no_tokens() -> None:
    with pytest.raises(ModelError, match=r"reads no tokens \(its inputs: input, sr\)"):
        tasks.from_ports(CONFIG, (Port("input", "FLOAT", (1, 512)), Port("sr", "INT64", ())), ())


def test_folders(tmp_path: Path) -> None:
    """The rules as they come together, from files."""
    classifier = {**BERT, "architectures": ["BertForSequenceClassification"]}
    reranker = bert(tmp_path / "reranker", {**classifier, "id2label": {"0": "LABEL_0"}})
    assert (facts(reranker).task, facts(reranker).labels) == ("rerank", ())
    named = bert(tmp_path / "classifier", {**classifier, "id2label": {"1": "good", "0": "bad", "10": "x", "2": "so"}})
    assert (facts(named).task, facts(named).labels) == ("classify", ("bad", "good", "so", "x"))
    silent = bert(tmp_path / "silent", classifier)
    assert (facts(silent).task, facts(silent).labels) == ("classify", ("LABEL_0", "LABEL_1"))
    cross = bert(tmp_path / "cross", {**classifier, "num_labels": 1, "sentence_transformers": {"version": "5.1.0"}})
    assert facts(cross).task == "rerank"
    causal = bert(
        tmp_path / "causal",
        {**BERT, "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"},
        {"modules.json": MODULES, "1_Pooling/config.json": {"pooling_mode_lasttoken": True}},
    )
    assert (facts(causal).task, facts(causal).pooling) == ("embed", "last")


@pytest.mark.parametrize(("columns", "expected"), [(1, "rerank"), (3, "classify")])
def test_weights_say_it_where_the_config_names_no_architecture(tmp_path: Path, columns: int, expected: Task) -> None:
    config = {key: value for key, value in BERT.items() if key != "architectures"}
    head = safetensors({"classifier.weight": ("F32", (columns, 8))})
    found = facts(bert(tmp_path, config, {"model.safetensors": head}))
    assert found.task == expected
    assert len(found.labels) == (3 if columns == 3 else 0)
