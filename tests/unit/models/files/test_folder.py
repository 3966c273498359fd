"""Folders of models: which format counts, caches of links, and everything that keeps one from being read."""

import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from moorage.errors import ModelError
from moorage.models.files import facts
from tests.unit.models.files import small_files
from tests.unit.models.files.small_files import BERT, INT8, bert, ctranslate2, initializer, node, onnx, openvino, put
from tests.unit.models.files.test_gguf import gguf

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 90868376\n"
WEIGHTS = small_files.safetensors()


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, "is an empty folder"),
        ({"README.md": "hello", "a/model.gguf": b"x"}, "has no model in it"),
        ({"config.json": BERT}, "has a config.json and no weights beside it; fetch the whole model"),
        ({"model.safetensors": WEIGHTS}, "has weights and no config.json"),
        ({"adapter_model.safetensors": WEIGHTS, "adapter_config.json": {}}, "is an adapter (LoRA)"),
        ({"model.safetensors": WEIGHTS, "adapter_config.json": {}}, "is an adapter (LoRA)"),
        ({"config.json": BERT, "pytorch_model.bin": b"PK\x03\x04"}, "PyTorch pickles (pytorch_model.bin)"),
        ({"config.json": BERT, "pytorch_model.bin": b"x", "training_args.bin": b"x"}, "safetensors or GGUF"),
        ({"config.json": BERT, "tf_model.h5": b"x"}, "in a format that is not read (tf_model.h5)"),
        ({"config.json": BERT, "model.safetensors": LFS}, "'model.safetensors' is a git-lfs pointer; run git lfs pull"),
        ({"config.json": LFS, "model.safetensors": WEIGHTS}, "'config.json' is a git-lfs pointer"),
        ({"config.json": BERT, "model.safetensors": WEIGHTS, "tokenizer.json": LFS}, "'tokenizer.json' is a git-lfs"),
        ({"model.onnx": LFS}, "'model.onnx' is a git-lfs pointer"),
        ({"config.json": BERT, "model.safetensors": b""}, "is truncated: it has 0 bytes"),
        ({"config.json": BERT, "model-00001-of-00002.safetensors": WEIGHTS}, "1 of its 2 weight files are missing"),
        ({"a.gguf": gguf(), "b.gguf": gguf()}, "has 2 GGUF models: a.gguf, b.gguf; name one of these files"),
        ({"config.json": BERT, "a.onnx": onnx(), "b.onnx": onnx()}, "several ONNX files: a.onnx, b.onnx"),
        ({"config.json": BERT, "model.safetensors": small_files.safetensors({"x": ("I64", (4,))})}, "without weights"),
        ({"openvino_model.xml": openvino()["openvino_model.xml"]}, "'openvino_model.bin' is missing"),
        ({"config.json": {}, "model.bin": b"", "vocabulary.json": []}, "is truncated: it has 0 bytes"),
    ],
)
def test_what_is_no_model(tmp_path: Path, files: dict[str, object], says: str) -> None:
    put(tmp_path, files)
    with pytest.raises(ModelError) as caught:
        facts(tmp_path)
    assert says in str(caught.value)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("model.safetensors", WEIGHTS, "is one file of a model; name its folder"),
        ("openvino_model.xml", b"<net>", "is no OpenVINO IR, or broken"),
        ("openvino_tokenizer.xml", b"<net>", "is a model's tokenizer, not the model; name their folder"),
        ("model.bin", ctranslate2(), "is one file of a model; name its folder"),
        ("config.json", b"{}", "is one file of a model; name its folder"),
        ("x.bin", WEIGHTS, "it is a safetensors file"),
        ("model.onnx", bytes(500), "all zeros"),
        ("model.onnx", b"", "it is empty"),
        ("model.onnx", LFS.encode(), "git lfs pull"),
        ("ggml-tiny.bin", b"lmgg\0\0", "one of whisper.cpp"),
    ],
)
def test_what_is_no_model_file(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError) as caught:
        facts(tmp_path / name)
    assert says in str(caught.value)
    assert repr(str(tmp_path / name)) in str(caught.value)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "model.onnx", "model.gguf", "tokenizer_config.json"]
)
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path, name: str) -> None:
    bert(tmp_path)
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    started = time.perf_counter()
    with pytest.raises(ModelError, match="not a regular file"):
        facts(tmp_path)
    assert time.perf_counter() - started < 2


def test_a_pipe_named_as_a_model(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), Path("/dev/null")):
        with pytest.raises(ModelError, match="not a regular file"):
            facts(path)


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("gone")
    (tmp_path / "loop").symlink_to("loop")
    for name, says in (("missing", "there is no file"), ("link", "which is not there"), ("loop", "symbolic links")):
        with pytest.raises(ModelError, match=says):
            facts(tmp_path / name)
    with pytest.raises(ModelError, match="null"):
        facts(Path("a\0b"))
    with pytest.raises(ModelError, match="too long"):
        facts(tmp_path / ("a" * 300))
    with pytest.raises(ModelError, match="Not a directory"):
        facts(put(tmp_path, {"file": "x"}) / "file" / "model.gguf")


@contextmanager
def another_user() -> Generator[None]:
    """Root may read everything; whoever runs the tests as root becomes nobody for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", ""])
def test_what_may_not_be_read(short_tmp: Path, name: str) -> None:
    short_tmp.chmod(0o755)
    model = bert(short_tmp / "model")
    (model / name).chmod(0)
    try:
        with another_user(), pytest.raises(ModelError) as caught:
            facts(model)
    finally:
        (model / name).chmod(0o700)
    assert "this user may not; give read permission to uid" in str(caught.value)
    assert str(model / name) in str(caught.value)


def test_a_hugging_face_cache_of_links(tmp_path: Path) -> None:
    """Snapshots hold links into a folder of blobs, under the names of their checksums."""
    blobs = bert(tmp_path / "blobs")
    snapshot = tmp_path / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    for number, blob in enumerate(list(blobs.iterdir())):
        blob.rename(blobs / f"{number:064}")
        (snapshot / blob.name).symlink_to(Path("../../blobs") / f"{number:064}")
    found = facts(snapshot)
    assert (found.task, found.path, found.weights) == (
        "embed",
        str(snapshot),
        (str(snapshot / "model.safetensors"),),
    )
    (snapshot / "model.safetensors").resolve().unlink()
    with pytest.raises(ModelError, match=r"is a link to .* which is not there; fetch the model again"):
        facts(snapshot)


def test_one_file_under_a_name_of_its_own(tmp_path: Path) -> None:
    put(tmp_path, {"config.json": BERT, "consolidated.safetensors": WEIGHTS, "adapter_model.safetensors": WEIGHTS})
    assert facts(tmp_path).weights == (str(tmp_path / "consolidated.safetensors"),)


def test_a_relative_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bert(tmp_path / "ünï 模型")
    monkeypatch.chdir(tmp_path)
    found = facts(Path("ünï 模型"))
    assert found.path == str(tmp_path / "ünï 模型")
    assert found.weights == (str(tmp_path / "ünï 模型" / "model.safetensors"),)


def test_one_gguf_counts_before_anything_else(tmp_path: Path) -> None:
    bert(tmp_path, files={"model.Q4_0.gguf": gguf(), "mmproj-model.gguf": b"x", "model.imatrix.gguf": b"x"})
    found = facts(tmp_path)
    assert (found.format, found.path) == ("gguf", str(tmp_path / "model.Q4_0.gguf"))


def test_several_gguf_do_not_hide_what_else_there_is(tmp_path: Path) -> None:
    bert(tmp_path, files={"model.Q4_0.gguf": gguf(), "model.Q8_0.gguf": gguf()})
    assert facts(tmp_path).format == "safetensors"


def test_onnx_counts_for_encoders_only(tmp_path: Path) -> None:
    encoder = bert(tmp_path / "encoder", files={"onnx/model.onnx": onnx(), "onnx/model_quantized.onnx": onnx()})
    found = facts(encoder)
    assert (found.format, found.path) == ("onnx", str(encoder))
    assert found.weights == (str(encoder / "onnx" / "model.onnx"),)
    assert (found.architecture, found.heads, found.context_length) == ("bert", 2, 16)
    causal = {**BERT, "architectures": ["LlamaForCausalLM"]}
    assert facts(bert(tmp_path / "causal", causal, {"onnx/model.onnx": onnx()})).format == "safetensors"
    only = put(tmp_path / "only", {"config.json": causal, "onnx/model.onnx": onnx()})
    assert (facts(only).format, facts(only).task) == ("onnx", "generate")


def test_a_graph_named_by_its_file(tmp_path: Path) -> None:
    bert(tmp_path, files={"onnx/model.onnx": onnx(), "onnx/model_int8.onnx": onnx(), "tokenizer_config.json": {}})
    file = tmp_path / "onnx" / "model_int8.onnx"
    found = facts(file)
    assert (found.format, found.path, found.weights, found.heads) == ("onnx", str(file), (str(file),), 2)


def test_a_graph_alone(tmp_path: Path) -> None:
    words = initializer("bert.embeddings.word_embeddings.weight_quantized", INT8, (100, 8))
    scale = initializer("bert.embeddings.word_embeddings.weight_scale", 1, (100, 1))
    positions = initializer("roberta.embeddings.position_embeddings.weight", 1, (34, 8))
    layers = [initializer(f"bert.encoder.layer.{n}.attention.output.LayerNorm.weight", 1, (8,)) for n in range(3)]
    put(tmp_path, {"model.onnx": onnx(initializers=(words, scale, positions, *layers))})
    found = facts(tmp_path)
    assert (found.task, found.architecture, found.quantization) == ("embed", "unknown", "INT8")
    assert (found.vocabulary, found.embedding_length, found.context_length, found.layers) == (100, 8, 32, 3)
    assert found.parameters == 100 * 8 + 34 * 8 + 3 * 8


@pytest.mark.parametrize(
    ("op", "domain", "words"),
    [
        ("MatMul", "", "FLOAT"),
        ("QLinearMatMul", "", "INT8"),
        ("DynamicQuantizeLinear", "", "INT8"),
        ("DynamicQuantizeMatMul", "com.microsoft", "INT8"),
        ("MatMulInteger", "", "INT8"),
        ("MatMulIntegerToFloat", "com.microsoft", "INT8"),
        ("MatMulNBits", "com.microsoft", "INT4"),
    ],
)
def test_how_an_onnx_model_is_quantised(tmp_path: Path, op: str, domain: str, words: str) -> None:
    put(tmp_path, {"model.onnx": onnx(nodes=(node(op, domain),))})
    assert facts(tmp_path).quantization == words


def test_onnx_with_its_data_beside_it(tmp_path: Path) -> None:
    outside = small_files.external("w", 1, (10, 8), location="model.onnx_data", offset="0", length="320")
    put(tmp_path, {"model.onnx": onnx(initializers=(outside,)), "model.onnx_data": bytes(320)})
    found = facts(tmp_path)
    assert found.weights == (str(tmp_path / "model.onnx"), str(tmp_path / "model.onnx_data"))
    assert found.size_bytes == (tmp_path / "model.onnx").stat().st_size + 320
