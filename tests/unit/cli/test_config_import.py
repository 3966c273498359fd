import os
import shutil
from pathlib import Path

import pytest

from moorage.cli.main import main
from moorage.config.load import load

SAMPLES = Path(__file__).parents[2] / "data" / "foreign"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copy(SAMPLES / "models.json", tmp_path)
    return tmp_path


def test_the_equivalent_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "import", "models.json"]) == 0
    out, err = capfd.readouterr()
    assert out.startswith(
        "# Made by `moorage config import` from models.json, read as the models.json of a unified service.\n"
        "#\n# Without effect:\n#   system.swap_space: vLLM has no swap space any more"
    )
    assert "        memory_fraction: 0.55  # models.chat.gpu_memory_utilization\n" in out
    assert "moorage: warning: models.json:8: system.swap_space: " in err


def test_it_is_written_and_says_the_same(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "import", "models.json", "-o", "moorage.yaml"]) == 0
    assert capfd.readouterr().out == ("moorage.yaml: written, 3 models; try it: moorage config check -c moorage.yaml\n")
    assert load("moorage.yaml").config == load("models.json").config
    assert (folder / "moorage.yaml").stat().st_mode & 0o077 == 0
    assert sorted(os.listdir(folder)) == ["models.json", "moorage.yaml"]


def test_a_file_that_exists_is_kept(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "moorage.yaml").write_text("server: {port: 1}\n")
    assert main(["config", "import", "models.json", "-o", "moorage.yaml"]) == 1
    assert "moorage: moorage.yaml exists; name another file, or say --force" in capfd.readouterr().err
    assert (folder / "moorage.yaml").read_text() == "server: {port: 1}\n"
    assert main(["config", "import", "models.json", "-o", "moorage.yaml", "--force"]) == 0
    assert len(load("moorage.yaml").config.models.local) == 3


def test_what_cannot_be_used_writes_nothing(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "models.json").write_text('{"models": {"chat": {"type": "embeddings"}}}')
    assert main(["config", "import", "models.json", "-o", "moorage.yaml"]) == 1
    err = capfd.readouterr().err
    assert "models.json:1: models.chat.type: 'embeddings' will not do" in err
    assert "models.json:1: models.chat.path: is required" in err
    assert not (folder / "moorage.yaml").exists()


def test_no_such_folder(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "import", "models.json", "-o", "nowhere/moorage.yaml"]) == 1
    assert "No such file or directory" in capfd.readouterr().err


def test_variables_stay_variables(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "v.yaml").write_text("model: a/b\napi-key: ${KEY:-Zq7-secret}\n")
    assert main(["config", "import", "v.yaml"]) == 0
    assert '- "${KEY:-Zq7-secret}"' in capfd.readouterr().out


def test_a_foreign_file_is_checked_and_shown(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", "-c", "models.json"]) == 0
    out, err = capfd.readouterr()
    assert out == "models.json: ok, 3 models\n"
    assert "moorage: models.json is read as the models.json of a unified service; `moorage config import`" in err
    assert main(["config", "show", "-c", "models.json"]) == 0
    assert "        memory_fraction: 0.55  # models.json:3\n" in capfd.readouterr().out


def test_a_variable_in_use_is_told(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PORT", "9000")
    assert main(["config", "show", "--sources", "-c", "models.json"]) == 0
    out, err = capfd.readouterr()
    assert "server.port  PORT\n" in out
    assert "moorage: server.port is 9000 by the variable PORT, in place of 8000; MOORAGE_SERVER_PORT beats it\n" in err
