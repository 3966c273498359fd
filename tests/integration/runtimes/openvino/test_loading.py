"""Models that cannot be loaded end the process with a reason that names the file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from moorage.engines.openvino import OpenVino
from tests.integration.runtimes.runtime import Runtime

pytestmark = pytest.mark.engine

Make = Callable[..., Runtime]


def fails(runtime: Runtime) -> tuple[str, str]:
    """The last line of the log, and the failure it is known as."""
    assert runtime.start().wait(60) == 1, runtime.log
    diagnosis = OpenVino().diagnose(runtime.log)
    assert diagnosis is not None
    assert "Traceback" not in runtime.log
    return runtime.log.strip().splitlines()[-1], diagnosis.signature


@pytest.mark.parametrize("kept", [100, 2000, 60_000_000])
def test_a_truncated_gguf_file(make_runtime: Make, chat_weights: Path, tmp_path: Path, kept: int) -> None:
    broken = tmp_path / "model.gguf"
    with chat_weights.open("rb") as whole:
        broken.write_bytes(whole.read(kept))
    line, signature = fails(make_runtime(broken))
    assert str(broken) in line
    assert "truncated" in line
    assert signature == "openvino.damaged"


def test_what_is_no_model(make_runtime: Make, tmp_path: Path) -> None:
    text = tmp_path / "model.gguf"
    text.write_text("hello " * 1000)
    assert str(text) in fails(make_runtime(text))[0]
    assert "nowhere" in fails(make_runtime(tmp_path / "nowhere.gguf"))[0]


@pytest.mark.parametrize(
    ("name", "kept", "signature"),
    [
        ("openvino_model.bin", 1_000_000, "openvino.damaged"),
        ("openvino_model.xml", 1_000_000, "openvino.damaged"),
        ("openvino_tokenizer.bin", 10_000, "openvino.damaged"),
        ("openvino_tokenizer.xml", None, "openvino.no-graph"),
        ("openvino_detokenizer.xml", None, "openvino.no-graph"),
    ],
)
def test_a_spoiled_folder(
    make_runtime: Make, ir: Path, tmp_path: Path, name: str, kept: int | None, signature: str
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for file in ir.iterdir():
        (folder / file.name).symlink_to(file)
    (folder / name).unlink()
    if kept is not None:
        (folder / name).write_bytes((ir / name).read_bytes()[:kept])
    line, known = fails(make_runtime(folder))
    assert name in line
    assert known == signature


@pytest.mark.parametrize(
    ("changes", "signature"),
    [
        ({"extra_args": {"NO_SUCH_PROPERTY": "1"}}, "openvino.property"),
        ({"extra_args": {"PERFORMANCE_HINT": "QUICK"}}, "openvino.property"),
        ({"extra_args": {"KV_CACHE_PRECISION": "u8"}}, "openvino.extra-args"),
        ({"cache_tokens": 400_000_000}, "openvino.memory"),
    ],
)
def test_wishes_it_cannot_have(make_runtime: Make, changes: dict[str, object], signature: str) -> None:
    assert fails(make_runtime(**changes))[1] == signature


def test_an_ir_answers_as_its_gguf_file_does(make_runtime: Make, generate: Runtime, ir: Path) -> None:
    runtime = make_runtime(ir).start().ready()
    for text in ("Say hi.", "What is the capital of France?"):
        said = [
            each.chat(text, temperature=0, max_tokens=12).body["choices"][0]["message"]["content"]
            for each in (generate, runtime)
        ]
        assert said[0] == said[1]
    assert runtime.count(prompt="Hello wörld 🎈") == generate.count(prompt="Hello wörld 🎈")
