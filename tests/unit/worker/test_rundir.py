import os
import shutil
import subprocess
from pathlib import Path

import pytest

from moorage.errors import ConfigError, Conflict
from moorage.http.unix import SOCKET_PATH_BYTES
from moorage.worker.rundir import (
    LONGEST_NAME,
    RunDirLock,
    next_generation,
    open_run_dir,
    replica_dir,
    replica_dirs,
)


def test_the_run_dir_is_made_private(short_tmp: Path) -> None:
    wanted = short_tmp / "deep" / "run"
    assert open_run_dir(wanted) == wanted
    assert wanted.stat().st_mode & 0o777 == 0o700
    wanted.chmod(0o755)
    open_run_dir(wanted)
    assert wanted.stat().st_mode & 0o777 == 0o700


def test_a_path_too_long_for_sockets_gets_the_same_short_one_each_time(tmp_path: Path) -> None:
    wanted = tmp_path / ("x" * 120)
    stand_in = open_run_dir(wanted)
    try:
        assert stand_in == open_run_dir(wanted)
        assert stand_in != open_run_dir(tmp_path / ("y" * 120))
        assert stand_in.stat().st_mode & 0o777 == 0o700
        replica = replica_dir(stand_in, "any/name " * 50)
        assert len(replica.name) == len(LONGEST_NAME.partition("/")[0])
        assert len(os.fsencode(stand_in / LONGEST_NAME)) <= SOCKET_PATH_BYTES
    finally:
        shutil.rmtree(stand_in)
        shutil.rmtree(open_run_dir(tmp_path / ("y" * 120)))


def test_a_file_in_the_way_is_named(short_tmp: Path) -> None:
    (short_tmp / "run").write_text("")
    with pytest.raises(ConfigError, match=r"run directory.*run'"):
        open_run_dir(short_tmp / "run")


def test_a_run_dir_that_cannot_be_written_is_named() -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        open_run_dir(Path("/proc/moorage"))


def test_a_link_instead_of_a_directory_is_refused(short_tmp: Path) -> None:
    (short_tmp / "elsewhere").mkdir()
    (short_tmp / "run").symlink_to(short_tmp / "elsewhere")
    with pytest.raises(ConfigError, match="someone else"):
        open_run_dir(short_tmp / "run")


def test_one_worker_per_run_dir(short_tmp: Path) -> None:
    first, second = RunDirLock(short_tmp), RunDirLock(short_tmp)
    first.acquire()
    with pytest.raises(Conflict, match="another moorage worker"):
        second.acquire()
    first.release()
    first.release()
    second.acquire()
    second.release()


def test_the_lock_does_not_reach_children(short_tmp: Path) -> None:
    lock = RunDirLock(short_tmp)
    lock.acquire()
    with subprocess.Popen(["sleep", "60"]) as child:
        lock.release()
        again = RunDirLock(short_tmp)
        again.acquire()
        again.release()
        child.kill()


def test_generations_count_on(short_tmp: Path) -> None:
    directory = replica_dir(short_tmp, "chat/0")
    assert [next_generation(directory) for _ in range(3)] == [1, 2, 3]
    (directory / "generation").write_text("rubbish")
    assert next_generation(directory) == 1
    assert replica_dirs(short_tmp) == [directory]
