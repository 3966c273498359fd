"""A real llama-server: Debian's next release has one, which runs here through the loader and libraries it came with."""

import fcntl
import functools
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import msgspec

from moorage.config.places import default_cache_dir
from moorage.core.facts import ModelFacts
from moorage.core.ports import Launch, LaunchOrder, Support
from moorage.engines.llama_server import LlamaServer
from moorage.wire.control import Installation, Machine

RELEASE = "forky"
PACKAGES = (
    *("llama.cpp-tools", "libllama0", "libggml0"),
    *("libc6", "libgcc-s1", "libstdc++6", "libgomp1", "libssl3t64", "libzstd1", "zlib1g"),
)
SOURCES = Path("/etc/apt/sources.list.d/debian.sources")
FOLDER = default_cache_dir() / "tests" / f"llama-server-{RELEASE}"
PROGRAM = FOLDER / "llama-server"


def missing() -> str | None:
    """Why it cannot be had here; None where it can."""
    if PROGRAM.exists() or (SOURCES.exists() and shutil.which("apt-get") and os.uname().machine == "x86_64"):
        return None
    return f"it is unpacked from the packages of Debian {RELEASE}, which needs apt and {SOURCES}"


class Unpacked(LlamaServer):
    """The adapter on a machine that has this one: `engine: tests.engines.llama_server:engine`."""

    def supports(self, facts: ModelFacts, machine: Machine) -> Support:
        return super().supports(facts, equipped(machine))

    def launch(self, order: LaunchOrder) -> Launch:
        return super().launch(replace(order, machine=equipped(order.machine)))


engine = Unpacked()


def equipped(machine: Machine) -> Machine:
    return msgspec.structs.replace(machine, installations=(installation(),))


@functools.cache
def installation() -> Installation:
    """Fetched once, shared by all runs."""
    FOLDER.parent.mkdir(parents=True, exist_ok=True)
    with open(FOLDER.parent / f"{FOLDER.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not PROGRAM.exists():
            _fetch(FOLDER)
    said = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, timeout=30, check=True)
    version = re.search(r"version: (\S+(?: \(build \d+)?)", said.stdout + said.stderr)
    assert version is not None, said
    helped = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, timeout=30, check=True).stdout
    flags = {
        flag
        for line in helped.splitlines()
        if line.startswith("-")
        for flag in re.findall(r"(?<![\w-])--?[a-z][\w-]*", line[:60])
    }
    return Installation(
        engine="llama-server",
        version=version[1].replace(" (build ", "-"),
        command=(str(PROGRAM),),
        flags=tuple(sorted(flags)),
    )


def _fetch(folder: Path) -> None:
    apt = folder / "apt"
    for part in ("lists/partial", "archives/partial", "sources", "packages"):
        (apt / part).mkdir(parents=True, exist_ok=True)
    stable = SOURCES.read_text()
    (apt / "sources" / SOURCES.name).write_text(re.sub(r"bookworm|trixie", RELEASE, stable))
    options = (
        *("-o", "Dir::Etc::SourceList=/dev/null", "-o", f"Dir::Etc::SourceParts={apt / 'sources'}"),
        *("-o", f"Dir::State::Lists={apt / 'lists'}", "-o", f"Dir::Cache={apt}", "-o", "APT::Sandbox::User=root"),
    )
    for words in (("update",), ("download", *PACKAGES)):
        subprocess.run(
            ["apt-get", *options, "-q", *words], cwd=apt / "packages", timeout=300, check=True, capture_output=True
        )
    for package in sorted((apt / "packages").glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", package, folder], timeout=60, check=True)
    libraries = folder / "usr" / "lib" / "x86_64-linux-gnu"
    # What computes is looked for beside the running program, which is the loader.
    for backend in (libraries / "ggml" / "backends0").glob("*.so"):
        (libraries / backend.name).symlink_to(backend)
    shutil.rmtree(apt)
    script = PROGRAM.with_suffix(".new")
    loader, program = libraries / "ld-linux-x86-64.so.2", folder / "usr" / "bin" / "llama-server"
    script.write_text(f'#!/bin/sh\nexec {loader} --library-path {libraries}:{libraries / "llama"} {program} "$@"\n')
    script.chmod(0o755)
    script.rename(PROGRAM)
