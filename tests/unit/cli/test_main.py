import os
import signal
import socket
import subprocess
import sys

import click
import pytest

from moorage.cli.main import COMMANDS, main, moorage
from moorage.engines.libraries import LIBRARIES

HEAVY = (
    "pydantic",
    "aiohttp",
    "rich",
    "starlette",
    "uvicorn",
    "yaml",
    "asyncio",
    "structlog",
    "xllamacpp",
    "httptools",
)

MOORAGE = [sys.executable, "-m", "moorage.cli.main"]


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from moorage.cli.main import main; main(['--help']); "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    *text, heavy = done.stdout.strip().splitlines()
    assert heavy == "[]"
    for name, entry in COMMANDS.items():
        assert any(line.split() == [name, *entry.help.split()] for line in text)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_is_there(name: str) -> None:
    command = moorage.get_command(click.Context(moorage), name)
    assert isinstance(command, click.Command)
    assert command.help


def test_misuse_is_2_and_failure_is_1(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["confg"]) == 2
    assert "Did you mean 'config'?" in capfd.readouterr().err
    assert main(["config", "check", "--fil", "x"]) == 2
    assert "No such option" in capfd.readouterr().err
    assert main(["config", "check", "-c", "/nowhere/moorage.yaml"]) == 1
    assert capfd.readouterr() == ("", "moorage: /nowhere/moorage.yaml: there is no such file\n")
    assert main([]) == 2
    assert main(["--version"]) == 0
    assert main(["config", "--help"]) == 0


def test_ctrl_c_ends_a_command_with_130() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        process = subprocess.Popen([*MOORAGE, "status", "--url", url], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        silent.settimeout(30)
        connection, _ = silent.accept()
        with connection:
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"Traceback" not in stderr


def test_a_reader_that_leaves_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.Popen([*MOORAGE, "config", "schema"], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    _, stderr = process.communicate(timeout=30)
    assert (process.returncode, stderr) == (1, b"")


def test_output_that_cannot_be_written_is_a_failure() -> None:
    with open("/dev/full", "wb") as full:
        for command in (["version"], ["config", "schema"], ["--help"]):
            done = subprocess.run([*MOORAGE, *command], stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
            assert done.returncode == 1
            assert done.stderr.startswith(b"moorage: ")
            assert b"No space left on device" in done.stderr
            assert b"Traceback" not in done.stderr


def test_no_stdout_at_all() -> None:
    done = subprocess.run(["sh", "-c", f"{sys.executable} -m moorage.cli.main version >&-"], timeout=60, check=False)
    assert done.returncode == 0


def test_version(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capfd.readouterr().out.splitlines())
    assert set(lines) == {"moorage", "python", "platform", *LIBRARIES}
    assert lines["llama.cpp"].startswith("xllamacpp ")
