"""`moorage doctor MODEL` as a user runs it, on models made wrong on purpose; no server runs."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moorage.serve.doctor.findings import CHECKS, LEVELS, MODEL_CHECKS, MODEL_GROUPS

Doctor = Callable[..., "subprocess.CompletedProcess[str]"]

ARGV = [sys.executable, "-m", "moorage.cli.main", "doctor"]


@pytest.fixture
def doctor(short_tmp: Path) -> Doctor:
    kept = ("PATH", "LANG", "TMPDIR")
    environment = {name: os.environ[name] for name in kept if name in os.environ} | {"HOME": str(short_tmp)}

    def run(*args: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*ARGV, *args],
            cwd=short_tmp,
            env=environment | variables,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def config(folder: Path, model: dict[str, Any], **more: Any) -> None:
    (folder / "moorage.yaml").write_text(json.dumps({"server": {"port": 0}, "models": [model], **more}))


def findings(done: "subprocess.CompletedProcess[str]") -> dict[str, dict[str, Any]]:
    """The first of each id."""
    assert done.stderr == ""
    by_id: dict[str, dict[str, Any]] = {}
    for finding in json.loads(done.stdout)["findings"]:
        by_id.setdefault(finding["id"], finding)
    return by_id


def test_a_model_that_will_start(doctor: Doctor, short_tmp: Path, chat_weights: Path) -> None:
    config(short_tmp, {"name": "chat", "source": str(chat_weights), "engine": "llama.cpp", "aliases": ["gpt"]})
    done = doctor("gpt", "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["level"] in ("ok", "note")) == (0, True), done.stdout
    rows = document["findings"]
    assert {row["id"] for row in rows} <= set(MODEL_CHECKS) | set(CHECKS)
    assert {row["group"] for row in rows} <= set(MODEL_GROUPS)
    assert len({(row["id"], row["subject"]) for row in rows}) == len(rows)
    assert all(row["level"] in LEVELS and row["what"] for row in rows)
    found = findings(done)
    assert found["model.configured"]["facts"] == {"name": "chat", "source": str(chat_weights), "configured": True}
    assert found["engine.choice"]["what"].startswith("llama.cpp")
    assert found["room.free"]["facts"]["need_bytes"] > chat_weights.stat().st_size
    assert found["ports.listen"]["what"] == "any free port"
    assert [path.name for path in short_tmp.rglob("*")] == ["moorage.yaml"]  # nothing is left behind


def test_a_file_that_no_configuration_names(doctor: Doctor, short_tmp: Path, chat_weights: Path) -> None:
    done = doctor(str(chat_weights), "--json")
    assert done.returncode == 0, done.stdout
    assert findings(done)["model.configured"]["facts"]["configured"] is False


def test_a_damaged_file(doctor: Doctor, short_tmp: Path, chat_weights: Path) -> None:
    cut = short_tmp / "cut.gguf"
    with chat_weights.open("rb") as file:
        cut.write_bytes(file.read(30_000_000))
    config(short_tmp, {"name": "chat", "source": str(cut)})
    done = doctor("chat", "--json")
    assert done.returncode == 1
    found = findings(done)
    assert found["files.whole"]["level"] == "problem"
    assert "is truncated: has 30000000 bytes" in found["files.whole"]["detail"]
    assert found["files.whole"]["fix"]
    assert "engine.choice" not in found


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_model_len": 100_000}, "trained for 8192 tokens"),
        ({"tensor_parallel": 2}, "tensor_parallel"),
        ({"extra_args": {"n_batch": [1]}}, "is a list"),
    ],
)
def test_wishes_that_cannot_be_had(
    doctor: Doctor, short_tmp: Path, chat_weights: Path, options: dict[str, Any], text: str
) -> None:
    config(short_tmp, {"name": "chat", "source": str(chat_weights), "engine": "llama.cpp", "options": options})
    done = doctor("chat", "--json")
    assert done.returncode == 1, done.stdout
    problems = [row["detail"] for row in json.loads(done.stdout)["findings"] if row["level"] == "problem"]
    assert any(text in problem for problem in problems), problems


def test_an_engine_that_is_none_of_this_models(doctor: Doctor, short_tmp: Path, chat_weights: Path) -> None:
    config(short_tmp, {"name": "chat", "source": str(chat_weights), "engine": "onnx"})
    done = doctor("chat")
    assert done.returncode == 1
    assert "cannot start" in done.stdout
    assert "could be llama.cpp" in done.stdout


def test_a_model_that_is_not_fetched_is_no_problem(doctor: Doctor, short_tmp: Path) -> None:
    config(short_tmp, {"name": "chat", "source": "hf:org/name"})
    done = doctor("chat", "--json")
    assert done.returncode == 0, done.stdout
    assert findings(done)["files.place"]["fix"] == "moorage models pull 'hf:org/name'"


@pytest.mark.parametrize("name", ["nobody", "pypi:", "../none"])
def test_a_name_that_is_nothing(doctor: Doctor, short_tmp: Path, name: str) -> None:
    config(short_tmp, {"name": "chat", "source": "hf:org/name"})
    done = doctor(name)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr + done.stdout
    assert "problem" in done.stdout


def test_a_configuration_that_will_not_do_is_told_first(doctor: Doctor, short_tmp: Path) -> None:
    (short_tmp / "moorage.yaml").write_text("models: [{name: chat}]\n")
    done = doctor("chat")
    assert done.returncode == 1
    assert "not valid" in done.stdout


def test_secrets_are_masked(doctor: Doctor, short_tmp: Path) -> None:
    secret = "sk-very-secret-key-0123456789"
    config(short_tmp, {"name": secret, "source": "hf:org/name"}, auth={"keys": [secret]})
    done = doctor(secret, "--json")
    assert secret not in done.stdout


def test_an_empty_name_is_misuse(doctor: Doctor) -> None:
    done = doctor("")
    assert (done.returncode, done.stdout) == (2, "")
