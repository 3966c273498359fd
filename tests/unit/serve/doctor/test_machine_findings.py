from pathlib import Path

import pytest

from moorage.serve.doctor.disk import filesystem
from moorage.serve.doctor.findings import Level
from moorage.serve.doctor.interpreter import binaries
from moorage.serve.doctor.memory import available, size, swap
from moorage.serve.doctor.system import clock, container, wsl, wsl_version

GIB = 1 << 30

WSL1 = "Linux version 4.4.0-19041-Microsoft (Microsoft@Microsoft.com) (gcc version 5.4.0 (GCC) )"
WSL2 = "Linux version 5.15.153.1-microsoft-standard-WSL2 (root@941d701f84f1) (gcc (GCC) 11.2.0)"

MOUNTS = """22 27 0:21 / / rw,relatime - ext4 /dev/sda1 rw
30 22 0:30 / /mnt/c rw,noatime - 9p C:\\134 rw,aname=drvfs
31 22 0:31 / /mnt/my\\040data rw - nfs4 server:/x rw
32 22 0:32 / /mnt/c/ram rw shared:3 - tmpfs tmpfs rw
broken line
"""


def test_memory() -> None:
    assert size(16 * GIB, 16 * GIB, None).level == "ok"
    limited = size(4 * GIB, 16 * GIB, 4 * GIB)
    assert (limited.level, limited.detail) == ("note", "of 16.0 GB: its cgroup allows no more")
    small = size(1 * GIB, 16 * GIB, 1 * GIB)
    assert (small.level, small.fix) == ("warning", "raise the container's limit (--memory 4g)")
    assert (available(8 * GIB, 16 * GIB).level, available(1 * GIB, 16 * GIB).level) == ("ok", "warning")
    assert [swap(total, used).level for total, used in ((0, 0), (GIB, 0), (GIB, GIB))] == ["ok", "ok", "note"]


@pytest.mark.parametrize(
    ("folder", "kind"),
    [("/home", "ext4"), ("/mnt/c/models", "9p"), ("/mnt/my data", "nfs4"), ("/mnt/c/ram/x", "tmpfs")],
)
def test_the_kind_of_file_system(tmp_path: Path, folder: str, kind: str) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTS)
    assert filesystem(Path(folder), tmp_path / "mountinfo") == kind
    assert filesystem(Path(folder), tmp_path / "missing") == ""


def test_wsl() -> None:
    assert [wsl_version(text) for text in (WSL1, WSL2, "Linux version 6.1.0 (debian-kernel@lists.debian.org)", "")] == [
        1,
        2,
        0,
        0,
    ]
    assert [finding.level for finding in wsl(WSL1, Path("/home"))] == ["problem"]
    assert [finding.level for finding in wsl(WSL2, Path("/home"))] == ["note"]
    (slow,) = wsl(WSL2, Path("/mnt/c/Users/ann"))
    assert (slow.level, slow.fix) == ("warning", "mkdir -p ~/moorage && cd ~/moorage")
    assert not list(wsl("", Path("/mnt/c/")))


def test_a_clock_before_this_program_is_wrong() -> None:
    assert clock(1_800_000_000, 1_700_000_000).level == "ok"
    wrong = clock(86_400 * 365, 1_700_000_000)
    assert wrong.level == "problem"
    assert "1971-01-01 00:00 UTC" in wrong.detail


def test_containers_are_recognised(tmp_path: Path) -> None:
    assert container({}, tmp_path) == ""
    assert container({"container": "podman"}, tmp_path) == "podman"
    (tmp_path / ".dockerenv").touch()
    assert container({}, tmp_path) == "docker"
    assert container({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, tmp_path) == "kubernetes"


@pytest.mark.parametrize(
    ("machine", "libc", "level"),
    [
        ("x86_64", ("glibc", "2.36"), "ok"),
        ("aarch64", ("glibc", "2.28"), "ok"),
        ("x86_64", ("glibc", "2.17"), "warning"),
        ("x86_64", ("", ""), "warning"),
        ("armv7l", ("glibc", "2.36"), "problem"),
    ],
)
def test_wheels_exist_for_this_machine(machine: str, libc: tuple[str, str], level: Level) -> None:
    assert binaries(machine, libc).level == level
