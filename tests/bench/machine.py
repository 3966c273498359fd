"""The machine a benchmark runs on: what it is, and what processes take of it."""

import os
import platform
import signal
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

BUSY_LOAD = 0.5
"""Runnable processes before the start, above which figures are not to be trusted."""


def facts() -> dict[str, object]:
    """For the head of a report."""
    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "kernel": platform.release(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def versions(*packages: str) -> dict[str, str]:
    return {"python": platform.python_version()} | {name: version(name) for name in packages}


def busy(machine: dict[str, object]) -> str | None:
    """A warning where others are at work."""
    load = machine["load_before"]
    assert isinstance(load, float)
    return f"the machine is busy (load {load}): these figures are not to be kept" if load > BUSY_LOAD else None


def cpu_s(pid: int) -> float:
    """Processor time of a process and its children, as the kernel accounts it: user and system together.

    From /proc/PID/task/*/schedstat, in nanoseconds; where the kernel has none, utime + stime of /proc/PID/stat, which
    counts in 10 ms.
    """
    process = psutil.Process(pid)
    return sum(_own_cpu_s(one) for one in (process, *process.children(recursive=True)))


def _own_cpu_s(process: psutil.Process) -> float:
    files = list(Path(f"/proc/{process.pid}/task").glob("*/schedstat"))
    if files:
        return sum(int(file.read_text().split()[0]) for file in files) / 1e9
    times = process.cpu_times()
    return times.user + times.system


@dataclass(frozen=True)
class Memory:
    """Resident memory of one process: all of it, and with pages it shares with others counted in parts."""

    rss_bytes: int
    pss_bytes: int


def memory(pid: int) -> Memory:
    taken = psutil.Process(pid).memory_full_info()
    return Memory(taken.rss, taken.pss)


def memory_of_all(pid: int) -> Memory:
    """Of a process and its children."""
    process = psutil.Process(pid)
    parts = [memory(one.pid) for one in (process, *process.children(recursive=True))]
    return Memory(sum(one.rss_bytes for one in parts), sum(one.pss_bytes for one in parts))


def end_orderly() -> None:
    """Let SIGTERM end this process as an exception does, so that what it started is stopped."""

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
