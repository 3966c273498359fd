from pathlib import Path

import pytest

from moorage.worker.outofmemory import kills


@pytest.fixture
def vmstat(tmp_path: Path) -> Path:
    path = tmp_path / "vmstat"
    path.write_text("nr_free_pages 12\noom_kill 7\n")
    return path


def groups(tmp_path: Path, line: str) -> Path:
    path = tmp_path / "cgroup"
    path.write_text(f"{line}\n")
    return path


def test_of_its_own_group(tmp_path: Path, vmstat: Path) -> None:
    folder = tmp_path / "sys" / "pod" / "engine"
    folder.mkdir(parents=True)
    (folder / "memory.events").write_text("low 0\nhigh 0\nmax 3\noom 2\noom_kill 2\noom_group_kill 0\n")
    assert kills(tmp_path / "sys", groups(tmp_path, "0::/pod/engine"), vmstat) == 2


@pytest.mark.parametrize("group", ["docker/abc", ""])
def test_of_version_1(tmp_path: Path, vmstat: Path, group: str) -> None:
    folder = tmp_path / "sys" / "memory" / group
    folder.mkdir(parents=True)
    (folder / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
    assert kills(tmp_path / "sys", groups(tmp_path, "4:memory:/docker/abc"), vmstat) == 1


def test_of_the_whole_machine(tmp_path: Path, vmstat: Path) -> None:
    assert kills(tmp_path / "sys", groups(tmp_path, "0::/"), vmstat) == 7


def test_a_kernel_that_does_not_tell(tmp_path: Path) -> None:
    assert kills(tmp_path / "sys", tmp_path / "none", tmp_path / "none") is None


def test_of_this_very_machine() -> None:
    count = kills()
    assert count is None or count >= 0
