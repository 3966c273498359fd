"""IRs that cannot be served say why when they are loaded."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from moorage.engines.openvino_encoding_signatures import SIGNATURES
from moorage.engines.signatures import diagnose
from tests import openvino_ir
from tests.integration.runtimes.encoder import folders
from tests.integration.runtimes.encoder.client import EMBED, embeddings
from tests.integration.runtimes.runtime import Runtime

pytestmark = pytest.mark.engine

HOST = "openvino_encoder"
XML, BIN = "openvino_model.xml", "openvino_model.bin"


def spoil(folder: Path, name: str, content: bytes | None) -> None:
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)


def refuses(runtime: Runtime, words: str) -> None:
    """It ends with 1 and a last line that says why."""
    assert runtime.start().wait(60) == 1
    last = runtime.log.rstrip().splitlines()[-1]
    assert last.startswith("moorage: ")
    assert words in last, runtime.log
    assert "Traceback" not in runtime.log


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (XML, None, "no IR of OpenVINO"),
        (XML, b"", "no element found"),
        (XML, b"half", "is no OpenVINO IR, or broken"),
        (BIN, None, "has no weights beside it"),
        (BIN, b"half", "is truncated"),
        ("tokenizer.json", None, "no tokenizer.json"),
        ("tokenizer.json", b"{}", "no tokenizer that can be read"),
        ("config.json", b'{"model_type": ', "config.json"),
    ],
)
def test_files_that_are_damaged(
    ir_folder: Path,
    tmp_path: Path,
    make_encoder: Callable[..., Runtime],
    name: str,
    content: bytes | None,
    words: str,
) -> None:
    folder = Path(shutil.copytree(ir_folder, tmp_path / "m"))
    half = (folder / name).read_bytes()[: (folder / name).stat().st_size // 2]
    spoil(folder, name, half if content == b"half" else content)
    runtime = make_encoder(folder, HOST)
    refuses(runtime, words)
    known = diagnose(runtime.log, SIGNATURES)
    assert known is not None or name == XML


def test_a_graph_with_parts_that_are_unknown(
    ir_folder: Path, tmp_path: Path, make_encoder: Callable[..., Runtime]
) -> None:
    """As of an export by a newer release."""
    folder = Path(shutil.copytree(ir_folder, tmp_path / "m"))
    text = (folder / XML).read_text()
    spoil(folder, XML, text.replace('type="MatMul" version="opset1"', 'type="MatMul" version="opset99"').encode())
    refuses(make_encoder(folder, HOST), "opset99")


def test_a_graph_of_one_shape(ir_folder: Path, tmp_path: Path, make_encoder: Callable[..., Runtime]) -> None:
    folder = openvino_ir.fixed(ir_folder, tmp_path / "m", (1, 16))
    refuses(make_encoder(folder, HOST), "only in the shape [1, 16]")


@pytest.mark.parametrize("task", ["rerank", "classify"])
def test_a_task_it_is_not_for(ir_folder: Path, make_encoder: Callable[..., Runtime], task: str) -> None:
    runtime = make_encoder(ir_folder, HOST, task=task)
    refuses(runtime, "set its task to embed")
    known = diagnose(runtime.log, SIGNATURES)
    assert known is not None
    assert known.signature == "openvino.task"


def test_weights_that_are_all_nan(minilm: Path, tmp_path: Path, make_encoder: Callable[..., Runtime]) -> None:
    spoiled = folders.spoiled(minilm, tmp_path / "m", "encoder.layer.5.output.dense.weight", None)
    refuses(make_encoder(openvino_ir.write(spoiled, tmp_path / "ir"), HOST), "NaN")


def test_one_word_that_gives_nan(minilm: Path, tmp_path: Path, make_encoder: Callable[..., Runtime]) -> None:
    spoiled = folders.spoiled(minilm, tmp_path / "m", "embeddings.word_embeddings.weight", 4049)
    runtime = make_encoder(openvino_ir.write(spoiled, tmp_path / "ir"), HOST).start().ready()
    answer = runtime.post(EMBED, {"input": ["a harbour", "a boat"]})
    assert (answer.status, answer.error["code"]) == (500, "not_a_number")
    assert embeddings(runtime, "a harbour").shape == (1, 384)


def test_more_tokens_in_the_config_than_in_the_weights(
    ir_folder: Path, tmp_path: Path, make_encoder: Callable[..., Runtime]
) -> None:
    """OpenVINO itself reads zeros for a token that is not there."""
    folder = Path(shutil.copytree(ir_folder, tmp_path / "m"))
    config = json.loads((folder / "config.json").read_bytes()) | {"vocab_size": 30523}
    (folder / "config.json").write_text(json.dumps(config))
    refuses(make_encoder(folder, HOST), "vocab_size")
