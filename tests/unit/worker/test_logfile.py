import os
from pathlib import Path

import pytest

from moorage.worker.logfile import Log


def test_a_small_log_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("before\n")
    Log(str(path), max_bytes=1000, keep=3).header(7, ["engine", "--port", "1"])
    first, second = path.read_text().splitlines()
    assert first == "before"
    assert second.startswith("=== generation 7 ")
    assert second.endswith(": engine --port 1")


def test_a_log_is_private(tmp_path: Path) -> None:
    Log(str(tmp_path / "a.log"), 100, 3).write(b"x")
    assert (tmp_path / "a.log").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("keep", [0, 1, 2])
def test_size_and_number_are_bounded(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "a.log"
    log = Log(str(path), max_bytes=10, keep=keep)
    for number in range(5):
        log.write(str(number).encode() * 50)
    log.write(b"now")
    expected = {"a.log": "now", "a.log.1": "4" * 50, "a.log.2": "3" * 50}
    found = {entry.name: entry.read_text() for entry in tmp_path.iterdir()}
    assert found == dict(list(expected.items())[: keep + 1])


def test_a_large_log_of_an_earlier_start_is_moved_away(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("x" * 100)
    Log(str(path), max_bytes=10, keep=1).write(b"new")
    assert path.read_text() == "new"
    assert (tmp_path / "a.log.1").read_text() == "x" * 100


def test_a_full_disk_is_survived_and_told_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.symlink_to("/dev/full")
    log = Log(str(path), 100, 3)
    log.write(b"lost")
    log.write(b"lost too")
    path.unlink()
    log.check()
    log.write(b"back\n")
    assert path.read_text() == "[moorage: 12 bytes of log were lost, the disk was full]\nback\n"


def test_a_directory_that_comes_later(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "later" / "a.log"), 100, 3)
    log.write(b"lost")
    (tmp_path / "later").mkdir()
    log.write(b"back\n")
    assert (tmp_path / "later" / "a.log").read_text().endswith("back\n")


def test_a_file_moved_by_someone_else_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    log = Log(str(path), 100, 3)
    log.write(b"one")
    log.check()
    os.rename(path, tmp_path / "moved")
    log.check()
    log.write(b"two")
    assert path.read_text() == "two"
