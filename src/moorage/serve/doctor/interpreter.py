"""Python: which one, in which environment, and whether wheels of the engines exist for it."""

import os
import platform
import shlex
import sys
import sysconfig
from collections.abc import Iterator

from moorage.serve.doctor.findings import Finding, Scope
from moorage.serve.doctor.system import container

OLDEST = (3, 11)
NEWEST = (3, 14)
"""Versions Moorage is tested with."""
GLIBC_LEAST = (2, 28)
"""ONNX Runtime's wheels are built for manylinux_2_28, llama.cpp's for 2_17."""
MACHINES = ("x86_64", "aarch64")
"""Architectures for which the engines publish wheels."""


def examine(scope: Scope) -> Iterator[Finding]:
    yield _version()
    yield _environment(container(scope.environ))
    yield binaries(platform.machine(), platform.libc_ver())


def _version() -> Finding:
    here = sys.version_info[:2]
    tested = OLDEST <= here <= NEWEST
    threads = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    name = f"{platform.python_implementation()} {platform.python_version()}"
    facts = {"version": platform.python_version(), "executable": sys.executable, "free_threaded": threads}
    if threads:
        return Finding(
            id="python.version",
            level="warning",
            what=name,
            detail="a free-threaded build, for which few engines publish wheels",
            fix="use the ordinary build of Python",
            facts=facts,
        )
    return Finding(
        id="python.version",
        level="ok" if tested else "note",
        what=name,
        detail=sys.executable if tested else f"Moorage is tested with 3.{OLDEST[1]} to 3.{NEWEST[1]}",
        facts=facts,
    )


def _environment(inside: str) -> Finding:
    venv = sys.prefix != sys.base_prefix
    facts = {"prefix": sys.prefix, "virtual": venv}
    if venv:
        return Finding(id="python.environment", level="ok", what="virtual environment", detail=sys.prefix, facts=facts)
    if inside:
        return Finding(
            id="python.environment",
            level="ok",
            what="no virtual environment",
            detail="fine in a container",
            facts=facts,
        )
    new = shlex.quote(os.path.expanduser("~/moorage"))
    return Finding(
        id="python.environment",
        level="note",
        what="no virtual environment",
        detail=f"Moorage shares {sys.prefix} with other programs, whose upgrades may break it",
        fix=f"{shlex.quote(sys.executable)} -m venv {new} && {new}/bin/pip install moorage",
        facts=facts,
    )


def binaries(machine: str, libc: tuple[str, str]) -> Finding:
    """`libc` as platform.libc_ver tells it; its name is empty for musl."""
    name, version = libc
    facts = {"machine": machine, "libc": name or None, "libc_version": version or None}
    what = f"{machine}, {name} {version}".strip() if name else f"{machine}, no glibc"
    if machine not in MACHINES:
        return Finding(
            id="python.binaries",
            level="problem",
            what=what,
            detail=f"the embedded engines are published for {' and '.join(MACHINES)}",
            fix="use a 64-bit system on one of these",
            facts=facts,
        )
    if name != "glibc":
        return Finding(
            id="python.binaries",
            level="warning",
            what=what,
            detail="the wheels of ONNX Runtime need glibc (this seems to be musl, as in Alpine)",
            fix="use a distribution with glibc: Debian, Ubuntu, Fedora",
            facts=facts,
        )
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < GLIBC_LEAST:
        return Finding(
            id="python.binaries",
            level="warning",
            what=what,
            detail=f"wheels of ONNX Runtime need glibc {'.'.join(map(str, GLIBC_LEAST))} or newer",
            fix="use a newer distribution, or run Moorage in a container of one",
            facts=facts,
        )
    return Finding(id="python.binaries", level="ok", what=what, facts=facts)
