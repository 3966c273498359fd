"""`moorage doctor` as a user runs it, on machines made wrong on purpose."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from moorage.serve.doctor.findings import CHECKS, GROUPS, LEVELS

Doctor = Callable[..., "subprocess.CompletedProcess[str]"]
Found = Callable[..., dict[str, Any]]

ARGV = [sys.executable, "-m", "moorage.cli.main", "doctor"]


@pytest.fixture
def environment(short_tmp: Path) -> dict[str, str]:
    """A user with a home of his own and nothing set."""
    kept = ("PATH", "LANG", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ} | {
        "HOME": str(short_tmp),
        "HF_ENDPOINT": "http://127.0.0.1:1",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": "http://127.0.0.1:1/simple",
    }


@pytest.fixture
def doctor(short_tmp: Path, environment: dict[str, str]) -> Doctor:
    """Run it in an empty folder; keywords are variables."""

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


@pytest.fixture
def found(doctor: Doctor) -> Found:
    """The first finding of an id."""

    def run(id: str, *args: str, **variables: str) -> dict[str, Any]:
        done = doctor("--json", *args, **variables)
        assert done.stderr == ""
        return next(finding for finding in json.loads(done.stdout)["findings"] if finding["id"] == id)

    return run


def config(short_tmp: Path, text: str) -> None:
    (short_tmp / "moorage.yaml").write_text(text)


def program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_the_document(doctor: Doctor, short_tmp: Path) -> None:
    config(short_tmp, "models: []\nserver: {port: 0}\n")
    began = time.monotonic()
    done = doctor("--json")
    assert time.monotonic() - began < 10
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert set(document) == {"version", "taken", "elapsed_s", "level", "counts", "findings"}
    findings = document["findings"]
    assert sum(document["counts"].values()) == len(findings)
    assert {finding["id"] for finding in findings} <= set(CHECKS)
    assert len({(finding["id"], finding["subject"]) for finding in findings}) == len(findings)
    assert {finding["group"] for finding in findings} == set(GROUPS)
    assert all(finding["level"] in LEVELS and finding["what"] for finding in findings)
    assert all(finding["fix"] for finding in findings if finding["level"] == "problem")


def test_nothing_is_left_behind(doctor: Doctor, short_tmp: Path) -> None:
    config(short_tmp, "models: []\nserver: {port: 0}\n")
    assert doctor("--offline").returncode == 0
    assert [path.name for path in short_tmp.rglob("*")] == ["moorage.yaml"]


def test_away_from_a_terminal_every_finding_is_a_line(doctor: Doctor, short_tmp: Path) -> None:
    config(short_tmp, "models: []\nserver: {port: 0}\n")
    done = doctor("--offline", COLUMNS="20")
    assert "Ports         ok       any free port\n" in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stdout.splitlines()[-1].startswith(("note", "1 ", "2 ", "3 ", "4 ")) or "in order" in done.stdout


def test_a_port_held_by_another_program(doctor: Doctor, short_tmp: Path) -> None:
    listen = "import socket, time; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True)"
    with subprocess.Popen([sys.executable, "-c", f"{listen}; time.sleep(60)"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        config(short_tmp, f"models: []\nserver: {{port: {port}}}\n")
        done = doctor("--offline")
        process.kill()
    assert done.returncode == 1
    line = next(line for line in done.stdout.splitlines() if f"127.0.0.1:{port} is taken" in line)
    assert line.startswith("Ports         problem")
    assert f"(pid {process.pid}, user " in line
    assert f"kill {process.pid}" in done.stdout


@contextmanager
def tmpfs(place: Path, options: str) -> Generator[None]:
    place.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("mounting a tmpfs needs root")
    argv = [mount, "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"mounting a tmpfs is not allowed here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_a_disk_that_is_full(found: Found, short_tmp: Path) -> None:
    place = short_tmp / "full"
    with tmpfs(place, "size=64k"):
        with pytest.raises(OSError, match="No space left"), (place / "big").open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * 4096)
        finding = found("disk.cache", "--offline", MOORAGE_CACHE_DIR=str(place))
    assert (finding["level"], finding["what"]) == ("problem", "model files: not writable")
    assert finding["detail"] == f"{place}: the disk is full"
    assert finding["fix"] == "set cache_dir (MOORAGE_CACHE_DIR) to another folder"


def test_a_disk_that_is_read_only(found: Found, short_tmp: Path) -> None:
    place = short_tmp / "readonly"
    with tmpfs(place, "size=64k,ro"):
        finding = found("disk.state", "--offline", MOORAGE_STATE_DIR=str(place))
        below = found("disk.state", "--offline", MOORAGE_STATE_DIR=str(place / "new"))
    assert (finding["level"], finding["detail"]) == ("problem", f"{place}: Read-only file system")
    assert (below["level"], below["detail"]) == ("problem", f"{place / 'new'}: cannot be made in {place}")


def test_models_in_memory(found: Found, short_tmp: Path) -> None:
    place = short_tmp / "memory"
    with tmpfs(place, "size=4g"):
        finding = found("disk.cache", "--offline", MOORAGE_CACHE_DIR=str(place))
    assert (finding["level"], finding["facts"]["filesystem"]) == ("note", "tmpfs")


def test_a_folder_that_is_a_file(found: Found, short_tmp: Path) -> None:
    (short_tmp / "file").touch()
    finding = found("disk.cache", "--offline", MOORAGE_CACHE_DIR=str(short_tmp / "file"))
    assert finding["level"] == "problem"
    assert "is a file, not a folder" in finding["detail"]


OLD_DOCKER = """case "$1" in
version) echo '{"Client": {"Version": "19.03.8"}, "Server": {"Version": "19.03.8"}}' ;;
*) echo "docker: 'compose' is not a docker command." >&2; exit 1 ;;
esac"""


def test_an_old_docker(found: Found, short_tmp: Path) -> None:
    program(short_tmp / "bin", "docker", OLD_DOCKER)
    program(short_tmp / "bin", "docker-compose", "echo 1.25.0")
    path = f"{short_tmp / 'bin'}:/usr/bin:/bin"
    docker = found("containers.docker", "--offline", PATH=path)
    assert (docker["level"], docker["what"]) == ("warning", "Docker 19.03.8")
    compose = found("containers.compose", "--offline", PATH=path)
    assert (compose["level"], compose["detail"]) == ("note", "docker-compose 1.25.0 is of the old kind")


def test_programs_that_hang_hold_nothing_up(doctor: Doctor, short_tmp: Path) -> None:
    for name in ("docker", "podman", "nvidia-smi"):
        program(short_tmp / "bin", name, "sleep 60")
    config(short_tmp, "models: []\nserver: {port: 0}\n")
    began = time.monotonic()
    done = doctor("--offline", "--json", PATH=f"{short_tmp / 'bin'}:/usr/bin:/bin")
    assert time.monotonic() - began < 10
    document = json.loads(done.stdout)
    assert document["elapsed_s"] < 6
    whats = [finding["what"] for finding in document["findings"]]
    assert {"Docker does not answer", "Podman does not answer", "nvidia-smi hangs"} <= set(whats)
    assert done.returncode == 0


def test_a_library_that_crashes_is_a_finding(found: Found, short_tmp: Path) -> None:
    modules = short_tmp / "modules"
    modules.mkdir()
    crash = "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n"
    (modules / "xllamacpp.py").write_text(crash)
    finding = found("engines.engine", "--offline", PYTHONPATH=str(modules))
    assert (finding["subject"], finding["level"], finding["what"]) == (
        "llama.cpp",
        "problem",
        "llama.cpp does not load",
    )
    assert "importing it ends with SIGSEGV" in finding["detail"]
    (modules / "xllamacpp.py").write_text("raise ImportError('libgomp.so.1: cannot open shared object file')")
    finding = found("engines.engine", "--offline", PYTHONPATH=str(modules))
    assert "ImportError: libgomp.so.1: cannot open shared object file" in finding["detail"]


def test_a_broken_configuration(doctor: Doctor, short_tmp: Path) -> None:
    config(short_tmp, "server: {prot: 8000, processes: many}\nauth: {keys: [sk-very-secret, 'with space']}\n")
    done = doctor("--offline", "--json")
    assert done.returncode == 1
    problems = [finding for finding in json.loads(done.stdout)["findings"] if finding["group"] == "configuration"]
    assert [(finding["id"], finding["level"]) for finding in problems] == [("configuration.file", "problem")] * 3
    unknown = "moorage.yaml:1: server.prot: unknown option; did you mean server.port?"
    assert unknown in [problem["detail"] for problem in problems]
    assert problems[-1]["fix"] == "correct it, then: moorage config check"
    assert "very-secret" not in done.stdout
    assert "with space" not in done.stdout


@pytest.mark.parametrize("args", [("-c", "missing.yaml"), ("-c", ".")])
def test_no_configuration_where_one_is_named(found: Found, args: tuple[str, ...]) -> None:
    finding = found("configuration.file", "--offline", *args)
    assert finding["level"] == "problem"


def test_open_to_strangers(found: Found, short_tmp: Path) -> None:
    config(short_tmp, "models: []\nserver: {host: 0.0.0.0, port: 0}\n")
    assert found("configuration.access", "--offline")["level"] == "problem"


def test_models_of_the_configuration(doctor: Doctor, short_tmp: Path, chat_weights: Path) -> None:
    (short_tmp / "broken.gguf").write_bytes(b"GGUF" + b"\xff" * 100)
    models = [
        {"name": "there", "source": str(chat_weights), "engine": "llama.cpp", "replicas": 2},
        {"name": "lost", "source": "/nowhere/model.gguf"},
        {"name": "broken", "source": str(short_tmp / "broken.gguf")},
        {"name": "later", "source": "pypi:nothing-there==1.0#x/model.gguf"},
        {"name": "stretched", "source": str(chat_weights), "options": {"max_model_len": 100_000_000}},
    ]
    config(short_tmp, json.dumps({"models": models, "server": {"port": 0}}))
    done = doctor("--offline", "--json")
    assert done.returncode == 1
    found = {finding["subject"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert {name: found[name]["level"] for name in ("there", "lost", "broken", "later", "stretched")} == {
        "there": "ok",
        "lost": "problem",
        "broken": "problem",
        "later": "note",
        "stretched": "problem",
    }
    assert found["there"]["detail"].startswith("generate on llama.cpp, about ")
    assert found["there"]["detail"].endswith(" for 2 replicas")
    assert found["later"]["fix"] == "moorage models pull 'pypi:nothing-there==1.0#x/model.gguf'"
    assert "was trained for" in found["stretched"]["detail"]


def test_a_hub_that_hangs(doctor: Doctor, short_tmp: Path) -> None:
    config(short_tmp, "models: []\nserver: {port: 0}\n")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        done = doctor("--json", HF_ENDPOINT=url, PIP_INDEX_URL=f"{url}/simple")
    assert time.monotonic() - began < 10
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert document["elapsed_s"] < 6
    by_id = {finding["id"]: finding for finding in document["findings"]}
    assert (by_id["network.hub"]["level"], by_id["network.index"]["level"]) == ("note", "warning")
    assert "no answer within" in by_id["network.hub"]["detail"]


def test_offline_asks_nobody(doctor: Doctor, short_tmp: Path) -> None:
    config(short_tmp, "models: []\nserver: {port: 0}\n")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        done = doctor("--json", "--offline", HF_ENDPOINT=url, PIP_INDEX_URL=f"{url}/simple")
        silent.settimeout(0.1)
        with pytest.raises(TimeoutError):
            silent.accept()
    ids = {finding["id"] for finding in json.loads(done.stdout)["findings"]}
    assert not ids & {"network.hub", "network.index", "network.clock"}


def test_no_secret_is_printed(doctor: Doctor, short_tmp: Path) -> None:
    config(short_tmp, "auth: {keys: [sk-configured-secret]}\nmodels: []\nserver: {port: 0}\n")
    secrets = {
        "HTTPS_PROXY": "http://ann:proxy-secret@127.0.0.1:1",
        "HF_ENDPOINT": "http://ann:hub-secret@127.0.0.1:1",
        "PIP_INDEX_URL": "http://ann:index-secret@127.0.0.1:1/simple",
        "HF_TOKEN": "hf_token-secret",
        "MOORAGE_API_KEY": "sk-environment-secret",
    }
    for args in ([], ["--json"]):
        done = doctor(*args, **secrets)
        assert "secret" not in done.stdout + done.stderr
        assert "***@127.0.0.1:1" in done.stdout


def test_garbage_in_the_environment(doctor: Doctor, short_tmp: Path) -> None:
    config(short_tmp, "models: []\nserver: {port: 0}\n")
    garbage = {
        "http_proxy": "not a\tproxy",
        "HTTPS_PROXY": "socks5://x",
        "NO_PROXY": ",,[::,",
        "HF_ENDPOINT": "http://[",
        "PIP_INDEX_URL": "nonsense",
        "DOCKER_HOST": "\x1b[2J",
        "HF_HOME": "~nobody-of-that-name/x",
        "REQUESTS_CA_BUNDLE": "/nowhere",
    }
    done = doctor("--json", **garbage)
    document = json.loads(done.stdout)
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    assert not [finding for finding in document["findings"] if finding["id"].endswith((".fault", ".unfinished"))]
    proxies = [finding["level"] for finding in document["findings"] if finding["id"] == "network.proxy"]
    assert proxies == ["warning", "warning"]


def test_no_home(doctor: Doctor, short_tmp: Path) -> None:
    done = doctor("--json", "--offline", HOME="")
    assert done.returncode == 1
    assert "this user has no home folder" in done.stdout
    assert "Traceback" not in done.stderr


def test_ctrl_c_ends_it_at_once(short_tmp: Path, environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        process = subprocess.Popen(
            ARGV, cwd=short_tmp, env=environment | {"HF_ENDPOINT": url}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        silent.settimeout(30)
        connection, _ = silent.accept()
        with connection:
            process.send_signal(signal.SIGINT)
            began = time.monotonic()
            _, stderr = process.communicate(timeout=30)
    assert time.monotonic() - began < 1.5
    assert process.returncode == 130
    assert b"Traceback" not in stderr


def test_a_model_in_a_cache_of_hugging_face_is_there(found: Found, short_tmp: Path, chat_weights: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = short_tmp / "hub" / "models--org--smol"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    (repository / "snapshots" / commit).mkdir(parents=True)
    (repository / "snapshots" / commit / "smol.Q4_1.gguf").symlink_to(chat_weights)
    config(short_tmp, "models: [{name: smol, source: 'hf:org/smol', engine: llama.cpp}]\nserver: {port: 0}\n")
    finding = found("configuration.model", "--offline", HF_HUB_CACHE=str(short_tmp / "hub"))
    assert (finding["level"], finding["facts"]["engine"]) == ("ok", "llama.cpp")
    missing = found("configuration.model", "--offline")
    assert (missing["level"], missing["fix"]) == ("note", "moorage models pull 'hf:org/smol'")


def test_engines_that_are_programs(doctor: Doctor, short_tmp: Path) -> None:
    config(short_tmp, "models: []\nserver: {port: 0}\n")
    told = "printf '  --model FNAME\\n' "
    program(short_tmp / "bin", "llama-server", f'[ "$1" = --version ] && echo version: 0.7.0 || {told}')
    program(short_tmp / "bin", "mistralrs", "sleep 60")
    (short_tmp / "cache" / "engines" / "vllm" / "0.32.0").mkdir(parents=True)
    path = f"{short_tmp}/bin{os.pathsep}{os.environ['PATH']}"
    began = time.monotonic()
    done = doctor("--offline", PATH=path, MOORAGE_CACHE_DIR=str(short_tmp / "cache"))
    assert time.monotonic() - began < 15
    assert done.returncode == 0
    lines = [line for line in done.stdout.splitlines() if line.startswith("Engines")]
    assert any("ok       llama-server 0.7.0 " in line and "bin/llama-server, found on PATH; " in line for line in lines)
    silent = next(line for line in lines if "mistralrs of unknown version" in line)
    assert "it did not tell its flags: they are passed unchecked" in silent
    assert any("warning  vllm 0.32.0 does not work" in line for line in lines)
    assert "-> moorage engine install vllm==0.32.0 (or: moorage engine remove vllm==0.32.0)" in done.stdout
    assert not (short_tmp / "cache" / "engines" / "programs.json").exists(), "looking changes nothing"
