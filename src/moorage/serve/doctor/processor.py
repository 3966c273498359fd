"""The processor: how many cores this process may use, and which vector instructions the engines find."""

import os
import platform
from collections.abc import Iterator
from pathlib import Path

from moorage.serve.doctor.findings import Finding, Scope
from moorage.worker.machine import cpu_limit, machine

NEEDED_X86 = ("avx2", "fma", "f16c", "bmi2")
"""What the packaged llama.cpp is compiled for; without one of them it ends with SIGILL."""
NEEDED_ARM = ("asimd",)

KINDS_X86: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("AVX2", ("avx2",)),
    ("AVX-512", ("avx512f", "avx512bw", "avx512vl")),
    ("VNNI", ("avx512_vnni",)),
    ("VNNI", ("avx_vnni",)),
    ("BF16", ("avx512_bf16",)),
    ("AMX", ("amx_tile", "amx_int8")),
)
KINDS_ARM: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("NEON", ("asimd",)),
    ("dot product", ("asimddp",)),
    ("I8MM", ("i8mm",)),
    ("BF16", ("bf16",)),
    ("SVE", ("sve",)),
)
QUICK_INT8 = frozenset({"VNNI", "AMX", "dot product", "I8MM"})
BUSY_SHARE = 0.75
"""Of the usable cores."""


def examine(scope: Scope) -> Iterator[Finding]:
    text = Path("/proc/cpuinfo").read_text(errors="replace")
    usable = machine().cores
    affinity = len(os.sched_getaffinity(0))
    quota = cpu_limit(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))
    yield cores(model_name(text), usable, affinity, os.cpu_count() or usable, quota)
    yield instructions(platform.machine(), flags(text))
    yield load(os.getloadavg()[0], os.cpu_count() or usable)


def cores(name: str, usable: int, affinity: int, installed: int, quota: float | None) -> Finding:
    """`affinity` is on how many cores this process may run, `quota` how many cores' time its group gets."""
    facts = {"model": name, "usable": usable, "affinity": affinity, "installed": installed, "quota": quota}
    limits: list[str] = []
    if affinity < installed:
        limits.append(f"bound to {affinity} (affinity)")
    if quota is not None and quota < installed:
        limits.append(f"{quota:g} cores' time (cgroup quota)")
    count = f"{usable} of {installed} cores usable" if usable < installed else f"{installed} core{'s'[: installed > 1]}"
    detail = f"{count}{': ' if limits else ''}{', '.join(limits)}"
    if usable < 2:
        return Finding(
            id="processor.cores",
            level="warning",
            what=name,
            detail=f"{detail}; the engine and the gateway share a single core",
            fix="give it more: --cpus 4 for a container, taskset for an affinity" if limits else "",
            facts=facts,
        )
    return Finding(id="processor.cores", level="note" if limits else "ok", what=name, detail=detail, facts=facts)


def instructions(architecture: str, found: frozenset[str]) -> Finding:
    """`found` are the kernel's names of what the processor has."""
    arm = architecture in ("aarch64", "arm64")
    needed, kinds = (NEEDED_ARM, KINDS_ARM) if arm else (NEEDED_X86, KINDS_X86)
    names = list(dict.fromkeys(name for name, flags in kinds if found.issuperset(flags)))
    facts = {"kinds": names, "flags": sorted(found & {flag for _, flags in kinds for flag in (*flags, *needed)})}
    if missing := [flag for flag in needed if flag not in found]:
        return Finding(
            id="processor.instructions",
            level="problem" if found else "warning",
            what=f"no {', '.join(missing).upper()}",
            detail="llama.cpp's build needs it and would end with SIGILL",
            fix="in a virtual machine: pass the host's processor through (qemu -cpu host)",
            facts=facts,
        )
    detail = "int8 models run at full speed" if QUICK_INT8.intersection(names) else "int8 models gain little speed here"
    if not arm and "AVX-512" in names:
        detail += "; llama.cpp's build uses AVX2 of it"
    return Finding(id="processor.instructions", level="ok", what=", ".join(names), detail=detail, facts=facts)


def load(one_minute: float, installed: int) -> Finding:
    facts = {"load": one_minute}
    what = f"load {one_minute:.1f} on {installed} core{'s'[: installed > 1]}"
    if one_minute > installed * BUSY_SHARE:
        return Finding(
            id="processor.load",
            level="note",
            what=what,
            detail="other programs are at work; models answer slower",
            fix="top -o %CPU",
            facts=facts,
        )
    return Finding(id="processor.load", level="ok", what=what, facts=facts)


def flags(cpuinfo: str) -> frozenset[str]:
    """What the first core of /proc/cpuinfo has: `flags` on x86, `Features` on ARM."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def model_name(cpuinfo: str) -> str:
    """The processor's name; ARM kernels tell numbers only, so there it is the architecture."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name" and value.strip():
            return " ".join(value.replace("(R)", "").replace("(TM)", "").split())
    return platform.machine()
