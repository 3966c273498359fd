import os
import subprocess
import sys
from pathlib import Path

from moorage.worker.identity import MARKER, boot_id, is_running, marked, read_identity, recorded_identity, start_time


def test_a_process_is_itself_only_with_its_start_time_and_boot() -> None:
    started = start_time(os.getpid())
    assert started is not None
    assert is_running(os.getpid(), started, boot_id())
    assert not is_running(os.getpid(), started + 1, boot_id())
    assert not is_running(os.getpid(), started, "another boot")
    assert not is_running(os.getpid(), None, boot_id())


def test_a_zombie_and_a_missing_process_have_no_start_time() -> None:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert start_time(process.pid) is None
    process.wait()
    assert start_time(process.pid) is None


def test_a_name_with_spaces_and_parentheses_is_no_obstacle(tmp_path: Path) -> None:
    program = tmp_path / "a) S (b"
    program.symlink_to(sys.executable)
    with subprocess.Popen([program, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert start_time(process.pid) is not None
        process.kill()


def test_marked_finds_exactly_the_processes_of_a_directory(tmp_path: Path) -> None:
    mine, other = str(tmp_path / "r-1"), str(tmp_path / "r-12")
    with subprocess.Popen(["sleep", "60"], env={MARKER: mine}) as process:
        try:
            assert marked(mine) == [process.pid]
            assert marked(other) == []
        finally:
            process.kill()
    assert marked(mine) == []


def test_an_identity_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    directory = str(tmp_path)
    assert recorded_identity(directory) is None
    for content in ("", "{", "[]", "3", '{"keeper_pid": 1}'):
        (tmp_path / "identity.json").write_text(content)
        assert recorded_identity(directory) is None
        assert read_identity(directory) is None
