"""Graphics cards: the NVIDIA driver and its cards, and cards nobody drives. None is fine."""

import csv
import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from moorage.core.text import human
from moorage.environments.bounded import Outcome, run
from moorage.serve.doctor.findings import Finding, Scope

MIB = 1 << 20

QUERY = ("name", "driver_version", "memory.total", "compute_cap")
CUDA_12_DRIVER = (525, 60, 13)
"""The oldest driver that runs CUDA 12."""
CUDA_13_DRIVER = (580,)

NVIDIA = "0x10de"
_DISPLAY = "0x03"
"""The PCI class of display controllers, and of those that only compute."""


def examine(scope: Scope) -> Iterator[Finding]:
    smi = shutil.which("nvidia-smi", path=scope.environ.get("PATH"))
    if smi is not None:
        query = [smi, f"--query-gpu={','.join(QUERY)}", "--format=csv,noheader,nounits"]
        yield from nvidia(run(query, scope.patience_s, scope.environ))
        return
    if version := kernel_driver():
        yield Finding(
            id="gpu.nvidia",
            level="note",
            what=f"NVIDIA driver {version}",
            detail="its module is loaded, but nvidia-smi is not on PATH",
            fix="in a container: start it with --gpus all (nvidia-container-toolkit)",
            facts={"driver": version},
        )
        return
    found = list(undriven())
    yield from found
    if not found:
        yield Finding(
            id="gpu.nvidia",
            level="ok",
            what="none",
            detail="fine: the embedded engines use the processor",
            facts={"cards": []},
        )


def nvidia(answer: Outcome) -> Iterator[Finding]:
    """What nvidia-smi said, a finding a card."""
    if answer.code is None:
        yield _broken("nvidia-smi hangs", "the driver or a card does not answer", "sudo reboot")
        return
    if not answer.ok:
        yield _refused(answer.err or answer.out)
        return
    rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(answer.out)) if row]
    if not rows or any(len(row) != len(QUERY) for row in rows):
        yield _broken("nvidia-smi says nothing of use", answer.last_words, "nvidia-smi")
        return
    for index, row in enumerate(rows):
        yield _card(index, *row)


def _card(index: int, name: str, driver: str, memory: str, capability: str) -> Finding:
    memory_bytes = int(memory) * MIB if memory.isdigit() else None
    facts: dict[str, Any] = {"driver": driver, "memory_bytes": memory_bytes, "compute_capability": capability}
    numbers = _numbers(driver)
    cuda = 13 if numbers >= CUDA_13_DRIVER else 12 if numbers >= CUDA_12_DRIVER else 11
    size = f", {human(memory_bytes)}" if memory_bytes else ""
    if cuda < 12:
        return Finding(
            id="gpu.nvidia",
            level="warning",
            what=f"{name}{size}",
            detail=f"driver {driver} is older than {'.'.join(map(str, CUDA_12_DRIVER))}, which CUDA 12 needs",
            fix="install a newer driver: sudo apt install nvidia-driver, or from nvidia.com/drivers",
            subject=str(index),
            facts=facts,
        )
    return Finding(
        id="gpu.nvidia",
        level="ok",
        what=f"{name}{size}",
        detail=f"driver {driver} (CUDA {cuda}); the embedded engines use the processor",
        subject=str(index),
        facts=facts,
    )


def _refused(said: str) -> Finding:
    words = next((line.strip() for line in said.splitlines() if line.strip()), "")
    lower = words.lower()
    if "mismatch" in lower:
        return _broken("driver and library differ", words, "sudo reboot    (the driver was upgraded under the kernel)")
    if "couldn't communicate" in lower or "no devices were found" in lower:
        return _broken("the NVIDIA driver does not run", words, "sudo dkms autoinstall && sudo modprobe nvidia")
    return _broken("nvidia-smi fails", words, "nvidia-smi")


def _broken(what: str, detail: str, fix: str) -> Finding:
    return Finding(id="gpu.nvidia", level="warning", what=what, detail=detail, fix=fix)


def kernel_driver(proc: Path = Path("/proc/driver/nvidia/version")) -> str:
    """The loaded module's version; empty for none."""
    try:
        found = re.search(r"Kernel Module.*?\s(\d+(?:\.\d+)+)", proc.read_text(errors="replace"))
    except OSError:
        return ""
    return found[1] if found else ""


def undriven(devices: Path = Path("/sys/bus/pci/devices")) -> Iterator[Finding]:
    """NVIDIA cards on the bus that no driver has taken. Others are there for a screen and of no use to an engine."""
    for device in sorted(devices.glob("*")):
        try:
            kind, vendor = (device / "class").read_text(), (device / "vendor").read_text().strip()
        except OSError:
            continue
        driven = (device / "driver").exists() and (device / "driver").resolve().name == "nvidia"
        if kind.startswith(_DISPLAY) and vendor == NVIDIA and not driven:
            yield Finding(
                id="gpu.card",
                level="note",
                what="an NVIDIA card without NVIDIA's driver",
                detail=f"at {device.name}; engines cannot use it so",
                fix="sudo apt install nvidia-driver && sudo reboot",
                subject=device.name,
                facts={"address": device.name},
            )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
