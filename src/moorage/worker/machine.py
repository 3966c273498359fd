"""What this machine has for replicas, within the limits its container sets."""

import math
import os
import socket
from pathlib import Path

import psutil

from moorage.core.devices import visible
from moorage.wire.control import Machine
from moorage.worker import nvml


def machine(cgroups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> Machine:
    """Cores, memory and accelerators this process may really use: affinity, cgroup limits (v1 and v2) and
    CUDA_VISIBLE_DEVICES respected."""
    cpus = tuple(sorted(os.sched_getaffinity(0)))
    cores = len(cpus)
    quota = cpu_limit(cgroups, own)
    memory = psutil.virtual_memory().total
    devices = visible(nvml.cards(nvml.library()), os.environ.get("CUDA_VISIBLE_DEVICES"))
    limit = memory_limit_bytes(cgroups, own)
    return Machine(
        hostname=socket.gethostname(),
        cores=max(1, min(cores, math.ceil(quota)) if quota is not None else cores),
        memory_bytes=min(memory, limit) if limit is not None else memory,
        cpus=cpus,
        devices=devices,
    )


def memory_limit_bytes(cgroups: Path, own: Path) -> int | None:
    """The tightest limit of this process's group and the groups around it."""
    limits = [_number(folder / "memory.max") for folder in _groups(cgroups, own, "")]
    limits += [_number(folder / "memory.limit_in_bytes") for folder in _groups(cgroups, own, "memory")]
    found = [limit for limit in limits if limit is not None and limit < 1 << 60]  # v1 writes a huge number for none
    return min(found, default=None)


def cpu_limit(cgroups: Path, own: Path) -> float | None:
    """Cores' worth of time per time, e.g. 1.5."""
    shares: list[float] = []
    for folder in _groups(cgroups, own, ""):
        words = _text(folder / "cpu.max").split()
        if len(words) == 2 and words[0].isdigit() and int(words[1]) > 0:
            shares.append(int(words[0]) / int(words[1]))
    for folder in _groups(cgroups, own, "cpu"):
        quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        if quota is not None and quota > 0 and period:
            shares.append(quota / period)
    return min(shares, default=None)


def _groups(cgroups: Path, own: Path, controller: str) -> list[Path]:
    """This process's group in one hierarchy ("" is version 2) and its ancestors, the root of what is visible last."""
    for line in _text(own).splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            top = next((cgroups / name for name in (names, controller) if name and (cgroups / name).is_dir()), cgroups)
            folder = top / path.lstrip("/")
            return [folder, *(parent for parent in folder.parents if parent == top or top in parent.parents)]
    return []


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.lstrip("-").isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
