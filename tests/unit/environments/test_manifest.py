from pathlib import Path

import pytest

from moorage.environments.manifest import NAME, Manifest, encoded, read


@pytest.fixture
def made(tmp_path: Path) -> Manifest:
    program = tmp_path / "bin" / "vllm"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    known = Manifest(
        engine="vllm",
        version="0.32.0",
        variant="cpu",
        home=str(tmp_path),
        command=(str(program), "serve"),
        flags=("--port",),
        preloads=("libfirst.so.4", "libsecond.so"),
        env={"A": "b"},
    )
    (tmp_path / NAME).write_text(encoded(known))
    return known


def test_what_is_written_is_read(made: Manifest, tmp_path: Path) -> None:
    assert read(tmp_path) == made
    found = made.installation()
    assert (found.engine, found.version, found.command, found.managed) == ("vllm", "0.32.0", made.command, True)


def test_libraries_are_loaded_first_where_they_are(made: Manifest, tmp_path: Path) -> None:
    assert made.environment() == {"A": "b"}
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libsecond.so").touch()
    assert made.environment() == {"A": "b", "LD_PRELOAD": f"{tmp_path}/lib/libsecond.so"}
    (tmp_path / "lib" / "libfirst.so.4").touch()
    assert made.environment()["LD_PRELOAD"].split(":")[0] == f"{tmp_path}/lib/libfirst.so.4"


def test_what_does_not_count(made: Manifest, tmp_path: Path) -> None:
    path = tmp_path / NAME
    whole = path.read_text()
    for text in ("", "{", "[]", "{}", whole[:40], whole.replace(str(tmp_path), "/elsewhere")):
        path.write_text(text)
        assert read(tmp_path) is None
    path.write_text(whole.replace('"engine"', '"of_a_newer_moorage": 1, "engine"'))
    assert read(tmp_path) == made
    Path(made.command[0]).chmod(0o644)
    assert read(tmp_path) is None
    path.unlink()
    assert read(tmp_path) is None
