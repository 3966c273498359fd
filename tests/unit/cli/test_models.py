"""`moorage models` as a user runs it, over a store of its own and a folder of wheels as the index."""

import hashlib
import io
import json
import struct
import subprocess
import sys
import zipfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

from moorage.cli.main import main

SOURCE = "pypi:tiny-weights==1.0#tiny_weights/tiny.gguf"


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def tiny_gguf() -> bytes:
    header = struct.pack("<4sIQQ", b"GGUF", 3, 1, 1)
    header += text("general.architecture") + struct.pack("<I", 8) + text("llama")
    header += text("w") + struct.pack("<IQIQ", 1, 1_000_000, 0, 0)
    return header + bytes(-len(header) % 32) + bytes(4_000_000)


SHA256 = hashlib.sha256(tiny_gguf()).hexdigest()


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = "tiny_weights-1.0.dist-info"
    with zipfile.ZipFile(tmp_path / "tiny_weights-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("tiny_weights/tiny.gguf", tiny_gguf())
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n")
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("MOORAGE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))


class Result(NamedTuple):
    exit_code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


def run(*arguments: str) -> Result:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(["models", *arguments])
    return Result(code, out.getvalue(), err.getvalue())


def pulled() -> Path:
    result = run("pull", SOURCE, "--sha256", SHA256)
    assert result.exit_code == 0, result.output
    return Path(result.stdout.strip())


def test_pull_prints_the_path_and_nothing_else_on_stdout() -> None:
    result = run("pull", SOURCE)
    path = Path(result.stdout.rstrip("\n"))
    assert path.read_bytes() == tiny_gguf()
    assert "extracting 3.8 MB of 3.8 MB (100 %)" in result.stderr
    assert f"{SOURCE}: 3.8 MB, sha256 {SHA256}\n" in result.stderr
    assert run("pull", SOURCE).stdout == result.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("pull", "hf:org/na me"), "is not a repository of a hub; write hf:ORG/NAME"),
        (("pull", "https://host.example/a.gguf"), "needs the file's sha256"),
        (("pull", SOURCE, "--sha256", "abc"), "64 hex digits"),
        (("pull", SOURCE, "--sha256", "0" * 64), "another checksum"),
        (("pull", SOURCE.replace("1.0", "2.0")), "cannot get tiny-weights==2.0"),
        (("pull", "./missing.gguf"), "there is no file"),
        (("verify", "nothing"), "no model file 'nothing' in the store; it has nothing"),
        (("remove", "nothing"), "no model file 'nothing' in the store"),
        (("show", "./missing.gguf"), "there is no file"),
        (("show", "missing.gguf"), "there is no file"),
    ],
)
def test_errors_are_one_line_on_stderr(arguments: tuple[str, ...], says: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = [line for line in result.stderr.splitlines() if not line.startswith(("extracting", "downloading"))]
    assert line.startswith("moorage: ")
    assert says in line


def test_list() -> None:
    empty = run("list")
    assert (empty.exit_code, empty.stdout) == (0, "")
    assert "moorage models pull" in empty.stderr
    assert json.loads(run("list", "--json").stdout) == []
    path = pulled()
    header, row = run("list").stdout.splitlines()
    assert header.split() == ["MODEL", "SIZE", "FILES", "FETCHED", "REVISION", "SHA256", "SOURCE"]
    assert row.split()[:4] == ["tiny.gguf", "3.8", "MB", "1"]
    assert SHA256[:12] in row
    assert row.endswith(SOURCE)
    (entry,) = json.loads(run("list", "--json").stdout)
    assert (entry["path"], entry["sha256"], entry["complete"]) == (str(path), SHA256, True)


def test_verify_and_mend() -> None:
    path = pulled()
    good = run("verify")
    assert (good.exit_code, good.stdout) == (0, f"ok   {path}\n")
    path.write_bytes(b"GGUF")
    bad = run("verify", "tiny.gguf")
    assert bad.exit_code == 1
    assert bad.stdout == f"bad  {path} has 4 bytes instead of {len(tiny_gguf())}\n"
    assert f"moorage models pull '{SOURCE}'" in bad.stderr
    assert run("pull", SOURCE).exit_code == 0
    assert run("verify").exit_code == 0


def test_remove() -> None:
    path = pulled()
    assert run("remove", "tiny.gguf").stdout == f"removed {path}\n"
    assert not path.exists()
    assert run("list").stdout == ""


def test_show() -> None:
    path = pulled()
    shown = json.loads(run("show", str(path), "--json").stdout)
    assert (shown["architecture"], shown["parameters"], shown["path"]) == ("llama", 1_000_000, str(path))
    assert run("show", "tiny.gguf").stdout == run("show", str(path)).stdout
    assert "architecture     llama\n" in run("show", str(path)).stdout


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom moorage.cli.models import models\n"
        "models(['pull', '--help'], standalone_mode=False)\n"
        "print(*sorted({'aiohttp', 'rich', 'pydantic', 'asyncio.subprocess'} & set(sys.modules)), file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Fetch a model and print" in result.stdout
    assert set(result.stderr.split()) <= {"asyncio.subprocess"}
