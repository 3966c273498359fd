"""OpenVINO IR: the graph's XML, its weights beside it, the names that exporters give, hostile XML."""

import time
from pathlib import Path

import pytest

from moorage.errors import ModelError
from moorage.models.files import facts, openvino
from moorage.models.files.onnx import Port
from tests.unit.models.files import small_files
from tests.unit.models.files.small_files import BERT, IR, put


def test_a_graph(tmp_path: Path) -> None:
    put(tmp_path, small_files.openvino())
    found = openvino.read(tmp_path / "openvino_model.xml")
    assert (found.version, found.size_bytes) == ("11", 1608)
    assert found.inputs == (Port("input_ids", "I64", ("", "")),)
    assert found.outputs == (Port("last_hidden_state", "FP32", ("", "", 8)),)
    assert found.elements == {"f32": 400, "i64": 1}
    assert found.constants == {"self.embeddings.word_embeddings.weight": (50, 8), "axis": ()}


@pytest.mark.parametrize(("kind", "words"), [("f32", "fp32"), ("f16", "fp16"), ("i8", "int8")])
def test_a_folder(tmp_path: Path, kind: str, words: str) -> None:
    put(tmp_path, {"config.json": BERT, "openvino_tokenizer.xml": b"not read", **small_files.openvino(kind)})
    found = facts(tmp_path)
    assert (found.format, found.task, found.architecture) == ("openvino", "embed", "bert")
    assert (found.quantization, found.parameters, found.layers) == (words, 400, 2)
    assert (found.path, found.weights) == (str(tmp_path), (str(tmp_path / "openvino_model.xml"),))
    assert found.size_bytes == (tmp_path / "openvino_model.bin").stat().st_size


def test_a_folder_without_a_config(tmp_path: Path) -> None:
    put(tmp_path / "openvino", small_files.openvino())
    found = facts(tmp_path)
    assert (found.task, found.architecture, found.vocabulary, found.embedding_length) == ("embed", "unknown", 50, 8)


def test_a_vision_language_model(tmp_path: Path) -> None:
    xml, weights = small_files.openvino("i8").values()
    files: dict[str, object] = {}
    for name in ("openvino_language_model", "openvino_text_embeddings_model", "openvino_vision_embeddings_model"):
        files |= {f"{name}.xml": xml, f"{name}.bin": weights}
    text = {"hidden_size": 16, "num_hidden_layers": 4, "vocab_size": 9}
    config = {"architectures": ["LlavaForConditionalGeneration"], "model_type": "llava", "text_config": text}
    put(tmp_path, {"config.json": config, **files})
    found = facts(tmp_path)
    assert (found.task, found.architecture, found.layers) == ("generate", "llava", 4)
    assert Path(found.weights[0]).name == "openvino_language_model.xml"
    assert (len(found.weights), found.parameters, found.size_bytes) == (3, 1200, 3 * 408)


def test_other_forms_of_the_same_model_are_not_counted(tmp_path: Path) -> None:
    """As sentence-transformers exports them, side by side in a folder of their own."""
    xml, weights = small_files.openvino("i8").values()
    small = {"openvino_model_qint8_quantized.xml": xml, "openvino_model_qint8_quantized.bin": weights}
    put(tmp_path, {"config.json": BERT})
    put(tmp_path / "openvino", {**small_files.openvino(), **small})
    found = facts(tmp_path)
    assert (found.weights, found.quantization) == ((str(tmp_path / "openvino" / "openvino_model.xml"),), "fp32")
    (tmp_path / "openvino" / "openvino_model.xml").unlink()
    assert facts(tmp_path).quantization == "int8"
    put(tmp_path / "openvino", {"openvino_model_quantized.xml": xml})
    with pytest.raises(ModelError, match=r"several graphs.*openvino_model_qint8_quantized\.xml, .*; keep the one"):
        facts(tmp_path)


def test_a_graph_by_its_name(tmp_path: Path) -> None:
    """As hubs hand it out that was selected: its folder, unless that is served from another."""
    put(tmp_path, {"config.json": BERT})
    put(tmp_path / "openvino", small_files.openvino())
    graph = tmp_path / "openvino" / "openvino_model.xml"
    assert facts(graph) == facts(tmp_path)
    xml, weights = small_files.openvino("i8").values()
    put(tmp_path / "openvino", {"openvino_model_quantized.xml": xml, "openvino_model_quantized.bin": weights})
    put(tmp_path / "openvino", {"openvino_model_int8.xml": xml, "openvino_model_int8.bin": weights})
    small = graph.with_name("openvino_model_quantized.xml")
    graph.unlink()
    found = facts(small)
    assert (found.path, found.weights, found.quantization) == (str(small), (str(small),), "int8")
    assert (found.task, found.architecture, found.layers) == ("embed", "bert", 2)


DATA = '<data element_type="f32" shape="{}" offset="{}" size="{}" />'


def constant(shape: object, offset: object, size: object) -> str:
    layer = f'<layer id="0" name="w" type="Const">{DATA.format(shape, offset, size)}</layer>'
    return f'<net version="11"><layers>{layer}</layers></net>'


@pytest.mark.parametrize(
    ("xml", "says"),
    [
        ("", "is no OpenVINO IR, or broken: no element found"),
        ("<!doctype html><html><body>404</body></html>", "is no OpenVINO IR, or broken: syntax error"),
        ("<html></html>", "its first element is <html>"),
        ('<net name="x"></net>', "not <net> with a version"),
        (IR[:300], "is no OpenVINO IR, or broken"),
        (IR.format(kind="f32", size=1600)[:-8], "no element found"),
        (b"\xff\xfe\x00", "is no OpenVINO IR, or broken"),
        (bytes(100), "is no OpenVINO IR, or broken"),
        ('<net version="11">' + "<a>" * 200, "nested beyond reason"),
        (constant("4", 0, "many"), "'many' is no number"),
        (constant("4", 0, "9" * 30), "is no number"),
        (constant("-4", 0, 16), "'-4' is no number"),
        (constant("400, 400", 0, 16), "has 16 bytes for 160000 elements"),
        (constant("4", 10**9, 16), "is truncated: has 16 bytes, needs 1000000016"),
        (
            '<!DOCTYPE a [<!ENTITY x "y"><!ENTITY z "&x;&x;">]><net version="11">&z;</net>',
            "it declares a document type",
        ),
        ("version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    ],
)
def test_what_is_broken_is_said(tmp_path: Path, xml: object, says: str) -> None:
    put(tmp_path, {"openvino_model.xml": xml, "openvino_model.bin": bytes(16)})
    started = time.perf_counter()
    with pytest.raises(ModelError) as caught:
        facts(tmp_path)
    assert time.perf_counter() - started < 5
    assert says in str(caught.value)


def test_weights_cut_short(tmp_path: Path) -> None:
    put(tmp_path, {**small_files.openvino(), "openvino_model.bin": bytes(1607)})
    with pytest.raises(ModelError, match="is truncated: has 1607 bytes, needs 1608"):
        facts(tmp_path)


def test_a_large_graph_is_read_quickly(tmp_path: Path) -> None:
    """Ten megabytes of XML, as a model of some billions of weights has."""
    layer = IR[IR.index('<layer id="3"') : IR.index('<layer id="4"')]
    xml = small_files.openvino()["openvino_model.xml"]
    assert isinstance(xml, str)
    put(tmp_path, {**small_files.openvino(), "openvino_model.xml": xml.replace(layer, layer + layer * 12_000)})
    started = time.perf_counter()
    assert facts(tmp_path).task == "embed"
    assert time.perf_counter() - started < 5


def test_an_endless_number_is_not_gathered(tmp_path: Path) -> None:
    xml = IR.format(kind="f32", size=1600).replace("<dim>-1</dim>", f"<dim>{'1' * 5_000_000}</dim>")
    put(tmp_path, {**small_files.openvino(), "openvino_model.xml": xml})
    assert openvino.read(tmp_path / "openvino_model.xml").inputs[0].shape == ("", "")
