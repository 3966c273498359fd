import os
from pathlib import Path

import psutil

from moorage.worker.machine import cpu_limit, machine, memory_limit_bytes


def test_this_machine() -> None:
    here = machine()
    assert 1 <= here.cores <= (os.cpu_count() or 1)
    assert 0 < here.memory_bytes <= psutil.virtual_memory().total
    assert here.hostname


def test_version_2_takes_the_tightest_of_a_group_and_those_around_it(tmp_path: Path) -> None:
    group = tmp_path / "cg" / "pod" / "box"
    group.mkdir(parents=True)
    own = tmp_path / "own"
    own.write_text("0::/pod/box\n")
    (group / "memory.max").write_text("max\n")
    (group.parent / "memory.max").write_text("1000000\n")
    (group / "cpu.max").write_text("150000 100000\n")
    (group.parent / "cpu.max").write_text("max 100000\n")
    assert memory_limit_bytes(tmp_path / "cg", own) == 1_000_000
    assert cpu_limit(tmp_path / "cg", own) == 1.5
    limited = machine(tmp_path / "cg", own)
    assert limited.memory_bytes == 1_000_000
    assert limited.cores <= 2


def test_version_1(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("5:memory:/box\n4:cpu,cpuacct:/box\n")
    for controller in ("memory", "cpu"):
        (tmp_path / "cg" / controller / "box").mkdir(parents=True)
    (tmp_path / "cg/memory/box/memory.limit_in_bytes").write_text("2000000")
    (tmp_path / "cg/memory/memory.limit_in_bytes").write_text("9223372036854771712")
    (tmp_path / "cg/cpu/box/cpu.cfs_quota_us").write_text("50000")
    (tmp_path / "cg/cpu/box/cpu.cfs_period_us").write_text("100000")
    (tmp_path / "cg/cpu/cpu.cfs_quota_us").write_text("-1")
    assert memory_limit_bytes(tmp_path / "cg", own) == 2_000_000
    assert cpu_limit(tmp_path / "cg", own) == 0.5


def test_no_cgroups_no_limits(tmp_path: Path) -> None:
    assert memory_limit_bytes(tmp_path / "none", tmp_path / "none") is None
    assert cpu_limit(tmp_path / "none", tmp_path / "none") is None
