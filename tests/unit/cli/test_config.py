import json
from pathlib import Path

import pytest
import yaml

from moorage.cli.main import main
from moorage.config.defaults import default_models
from moorage.config.load import load

CONFIGURATION = """\
server: {host: 0.0.0.0, port: 8001, request_timeout: 90s}
auth:
  keys:
  - Zq7-secret
  - {name: two, key: "${KEY}"}
models:
- name: boat
  source: "https://user:Zq7-secret@example.org/boat.gguf"
  sha256: "0000000000000000000000000000000000000000000000000000000000000000"
  aliases: ["${file:alias}"]
  options: {extra_args: {on: "yes", "odd key": "a $${x}"}}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KEY", "Zq7-secret-two")
    monkeypatch.setenv("MOORAGE_LOGGING_LEVEL", "debug")
    (tmp_path / "alias").write_text("Zq7-secret-alias")
    (tmp_path / "moorage.yaml").write_text(CONFIGURATION)
    return tmp_path


def test_a_good_file(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check"]) == 0
    assert capfd.readouterr() == ("moorage.yaml: ok, 1 model\n", "")


def test_no_file(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "moorage.yaml").unlink()
    assert main(["config", "check"]) == 0
    assert capfd.readouterr() == (f"no file, built-in values: ok, {len(default_models())} models\n", "")


def test_all_problems_are_printed(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "moorage.yaml").write_text("server: {prot: 1}\nlogging: {level: loud}\nmodels: [{name: a}]\n")
    assert main(["config", "check"]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("moorage: 2 problems in the configuration:\n  moorage.yaml:1: server.prot: unknown option")
    assert "models.local[0]: say source, where the weights come from" in err


def test_what_only_serving_would_find(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "other.yaml").write_text(
        "server: {host: '::'}\nlogging: {file_path: x}\n"
        "models:\n- {name: a, source: 'ftp://x'}\n- {name: b, source: ./missing.gguf}\n- {name: c, source: 'pypi:x'}\n"
    )
    assert main(["config", "check", "-c", "other.yaml"]) == 1
    err = capfd.readouterr().err
    assert "warning: logging.file_path counts only when" in err
    assert f"warning: other.yaml:5: models.local[1].source: there is no file {folder / 'missing.gguf'} yet" in err
    assert "moorage: 3 problems:\n  server.host is '::'" in err
    assert "other.yaml:4: models.local[0].source: " in err
    assert "other.yaml:6: models.local[2].source: " in err


def test_what_is_shown_says_the_same_again(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shown = load("moorage.yaml").config
    assert main(["config", "show"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert "Zq7-secret" not in out
    for line in (
        '  host: "0.0.0.0"  # moorage.yaml:1',
        "  request_timeout: 90s  # moorage.yaml:1",
        '      key: "**********"  # moorage.yaml:4',
        "    - name: boat  # moorage.yaml:7",
        "  level: debug  # MOORAGE_LOGGING_LEVEL",
        "  processes: 1",
    ):
        assert line in out.splitlines()
    (folder / "again.yaml").write_text(out.replace('key: "**********"', "key: x", 1))
    again = load("again.yaml").config
    assert again.server == shown.server
    assert again.logging == shown.logging
    assert again.models.local[0].options == shown.models.local[0].options


def test_what_is_shown_as_json(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "--json"]) == 0
    out = capfd.readouterr().out
    assert "Zq7-secret" not in out
    shown = json.loads(out)
    assert shown["server"]["port"] == 8001
    assert shown["models"]["local"][0]["aliases"] == ["**********"]
    assert shown["models"]["local"][0]["source"] == "https://**********@example.org/boat.gguf"


def test_where_values_come_from(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "--sources"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert "server.port  moorage.yaml:1" in lines
    assert "models.local[0].name  moorage.yaml:7" in lines
    assert "logging.level  MOORAGE_LOGGING_LEVEL" in lines


def test_the_schema_is_json(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema"]) == 0
    assert json.loads(capfd.readouterr().out)["title"] == "moorage.yaml"


@pytest.mark.parametrize("text", ["a: &a [*a]", "- 1", "\x00", "server: [", "a: 1\na: 2"])
def test_files_that_are_none(folder: Path, capfd: pytest.CaptureFixture[str], text: str) -> None:
    (folder / "moorage.yaml").write_text(text)
    assert main(["config", "check"]) == 1
    assert capfd.readouterr().err.startswith("moorage: moorage.yaml")


def test_plain_yaml_readers_agree(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show"]) == 0
    read = yaml.safe_load(capfd.readouterr().out)
    assert read["models"]["local"][0]["options"]["extra_args"] == {"on": "yes", "odd key": "a $${x}"}


@pytest.mark.parametrize(
    ("engine", "why"),
    [
        ("vlm", "there is no engine 'vlm'; did you mean 'vllm'?"),
        ("vllm==", "'' is no version of vllm; write it like vllm==0"),
        ("vllm==../..", "'../..' is no version of vllm"),
    ],
)
def test_engines_there_are_none_of(folder: Path, capfd: pytest.CaptureFixture[str], engine: str, why: str) -> None:
    models = f"models:\n- {{name: a, source: ./a.gguf}}\n- {{name: b, source: ./b.gguf, engine: {engine!r}}}\n"
    (folder / "moorage.yaml").write_text(models)
    assert main(["config", "check"]) == 1
    assert f"moorage.yaml:3: models.local[1].engine: {why}" in capfd.readouterr().err


@pytest.mark.parametrize("engine", ["auto", "vllm==0.32.0", "llama.cpp", "package.of.mine:engine"])
def test_engines_that_may_be(folder: Path, capfd: pytest.CaptureFixture[str], engine: str) -> None:
    (folder / "moorage.yaml").write_text(f"models: [{{name: a, source: ./a.gguf, engine: {engine!r}}}]\n")
    assert main(["config", "check"]) == 0
