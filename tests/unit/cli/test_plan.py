"""`moorage plan` as a user runs it: a table, notes, JSON, and what is answered to mistakes."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from moorage.cli.main import main
from tests.unit.serve.test_plan import folder


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOORAGE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(["plan", *arguments])
    return code, out.getvalue(), err.getvalue()


def test_a_table_and_what_would_help(tmp_path: Path) -> None:
    path = folder(tmp_path / "eight")
    code, out, err = run(str(path), "--gpus", "16GiB", "--memory", "64GB")
    assert (code, err) == (1, "")
    lines = out.splitlines()
    assert lines[0] == "A machine with 64.0 GB of memory, 1 accelerator of 16.0 GB"
    assert lines[2].split() == ["MODEL", "WEIGHTS", "KV", "CACHE", "BUFFERS", "PROCESS", "TOTAL", "FITS"]
    assert lines[3].split()[0] == "eight"
    assert lines[3].endswith("no")
    assert "  would fit with quantization: int8" in lines
    assert max(map(len, lines)) <= 80


def test_one_that_fits(tmp_path: Path) -> None:
    code, out, _ = run(str(folder(tmp_path / "eight")), "--device-memory", "24GiB", "--memory", "64GB")
    assert code == 0
    assert "eight: vllm on device 0, " in out
    assert "cuda 0: " in out


def test_the_configuration_and_its_names(tmp_path: Path, chat_weights: Path) -> None:
    models = [
        {
            "name": "a",
            "source": str(chat_weights),
            "engine": "llama.cpp",
            "aliases": ["x"],
            "options": {"max_sequences": 2},
        },
        {"name": "b", "source": "org/far"},
        {"name": "c", "url": "http://127.0.0.1:9/v1"},
    ]
    (tmp_path / "moorage.yaml").write_text(json.dumps({"models": models}))
    code, out, err = run("--memory", "32GB")
    assert (code, err) == (0, "")
    assert "a: llama.cpp on the processor, 2 calls at once of 8192 tokens" in out
    assert "b: not fetched yet, so nothing is known of its size" in out
    assert "moorage models pull 'hf:org/far'" in out
    rows = {line.split()[0]: line.split()[-1] for line in out.splitlines() if line and not line.startswith(" ")}
    assert (rows["a"], rows["b"], rows["c"]) == ("yes", "unknown", "elsewhere")
    code, out, _ = run("x", "--memory", "32GB", "--json")
    assert code == 0
    (told,) = json.loads(out)["models"]
    assert (told["name"], told["calls"], told["engine"]) == ("a", 2, "llama.cpp")
    assert told["memory"]["kv_bytes"] == 2 * 8192 * 23040


def test_the_same_file_twice_is_two_models(chat_weights: Path) -> None:
    code, out, _ = run(f"m={chat_weights}", f"m={chat_weights}", "--memory", "800MB", "--json")
    told = json.loads(out)
    assert [model["name"] for model in told["models"]] == ["m", "m-2"]
    assert code == (0 if told["fits"] else 1)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nosuch"], 1, "no model of that name"),
        ([""], 1, "name a model"),
        (["./gone.gguf"], 1, ""),
        (["--gpus", "many"], 1, "2x24GiB"),
        (["--memory", "lots"], 2, "'lots'"),
        (["--gpus", "1x8GB", "--device-memory", "8GB"], 2, "one of the two"),
        (["https://host/file.gguf"], 1, "sha256"),
    ],
)
def test_mistakes(arguments: list[str], code: int, words: str) -> None:
    got, out, err = run(*arguments)
    assert got == code, out + err
    assert words in err
    assert "Traceback" not in err


def test_a_configuration_without_models(tmp_path: Path) -> None:
    (tmp_path / "moorage.yaml").write_text("models: []\n")
    code, _, err = run()
    assert code == 1
    assert "has no models" in err
