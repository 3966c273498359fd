"""Memory: what the machine has, what its container allows, what is free."""

from collections.abc import Iterator
from pathlib import Path

import psutil

from moorage.core.text import human
from moorage.serve.doctor.findings import Finding, Scope
from moorage.worker.machine import machine, memory_limit_bytes

GIB = 1 << 30

LEAST_BYTES = 2 * GIB
"""The default models and the processes around them want 1.5 GB."""
FREE_SHARE = 0.1
SWAPPED_SHARE = 0.5


def examine(scope: Scope) -> Iterator[Finding]:
    seen = psutil.virtual_memory()
    usable = machine().memory_bytes
    limit = memory_limit_bytes(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))
    yield size(usable, seen.total, limit)
    yield available(min(seen.available, usable), usable)
    swapped = psutil.swap_memory()
    yield swap(swapped.total, swapped.used)


def size(usable: int, total: int, limit: int | None) -> Finding:
    """In bytes. `limit` is the tightest of the cgroups around this process."""
    facts = {"usable_bytes": usable, "total_bytes": total, "limit_bytes": limit}
    limited = limit is not None and limit < total
    detail = f"of {human(total)}: its cgroup allows no more" if limited else ""
    if usable < LEAST_BYTES:
        return Finding(
            id="memory.size",
            level="warning",
            what=human(usable),
            detail=detail or "enough for the smallest models only",
            fix="raise the container's limit (--memory 4g)" if limited else "",
            facts=facts,
        )
    return Finding(id="memory.size", level="note" if limited else "ok", what=human(usable), detail=detail, facts=facts)


def available(free: int, usable: int) -> Finding:
    low = free < usable * FREE_SHARE
    return Finding(
        id="memory.available",
        level="warning" if low else "ok",
        what=f"{human(free)} available",
        detail="other programs hold nearly all of it" if low else "",
        fix="ps aux --sort -rss | head" if low else "",
        facts={"available_bytes": free},
    )


def swap(total: int, used: int) -> Finding:
    facts = {"total_bytes": total, "used_bytes": used}
    if not total:
        return Finding(
            id="memory.swap",
            level="ok",
            what="no swap",
            detail="what does not fit is killed",
            facts=facts,
        )
    much = used > total * SWAPPED_SHARE
    return Finding(
        id="memory.swap",
        level="note" if much else "ok",
        what=f"{human(used)} of {human(total)} swap used",
        detail="a model whose weights are swapped out answers very slowly" if much else "",
        fix="smem -s swap, or sudo swapoff -a && sudo swapon -a" if much else "",
        facts=facts,
    )
