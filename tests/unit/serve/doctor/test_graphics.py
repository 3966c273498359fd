from pathlib import Path

import pytest

from moorage.environments.bounded import Outcome
from moorage.serve.doctor.findings import Level
from moorage.serve.doctor.graphics import kernel_driver, nvidia, undriven

MISMATCH = "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 535.183"
NO_DRIVER = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA "
    "driver is installed and running.\n"
)
VERSION = """NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024
GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)
"""
OPEN_VERSION = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.15  Release Build  (root@x)  Tue Mar  5\n"
)


@pytest.mark.parametrize(
    ("outcome", "level", "what", "words"),
    [
        (
            Outcome(0, "NVIDIA H200, 570.86.15, 143771, 9.0\n", ""),
            "ok",
            "NVIDIA H200, 140.4 GB",
            "driver 570.86.15 (CUDA 12)",
        ),
        (
            Outcome(0, "NVIDIA GB10, 580.95.05, [N/A], 12.1\n", ""),
            "ok",
            "NVIDIA GB10",
            "driver 580.95.05 (CUDA 13)",
        ),
        (
            Outcome(0, "Tesla T4, 470.82.01, 15360, 7.5\n", ""),
            "warning",
            "Tesla T4, 15.0 GB",
            "driver 470.82.01 is older than 525.60.13, which CUDA 12 needs",
        ),
        (Outcome(18, MISMATCH, ""), "warning", "driver and library differ", ""),
        (Outcome(9, NO_DRIVER, ""), "warning", "the NVIDIA driver does not run", ""),
        (Outcome(6, "No devices were found\n", ""), "warning", "the NVIDIA driver does not run", ""),
        (Outcome(None, "", ""), "warning", "nvidia-smi hangs", ""),
        (Outcome(0, "what is this\n", ""), "warning", "nvidia-smi says nothing of use", "what is this"),
        (Outcome(0, "", ""), "warning", "nvidia-smi says nothing of use", ""),
    ],
)
def test_what_nvidia_smi_says(outcome: Outcome, level: Level, what: str, words: str) -> None:
    (finding,) = nvidia(outcome)
    assert (finding.level, finding.what) == (level, what)
    assert words in finding.detail


def test_a_finding_for_each_card() -> None:
    card = "NVIDIA A100-SXM4-80GB, 550.54.15, 81920, 8.0\n"
    assert [finding.subject for finding in nvidia(Outcome(0, card * 2, ""))] == ["0", "1"]


@pytest.mark.parametrize(("text", "version"), [(VERSION, "535.183.01"), (OPEN_VERSION, "550.54.15"), ("junk", "")])
def test_the_kernels_module(tmp_path: Path, text: str, version: str) -> None:
    path = tmp_path / "version"
    assert kernel_driver(path) == ""
    path.write_text(text)
    assert kernel_driver(path) == version


def test_cards_nobody_drives(tmp_path: Path) -> None:
    for name, vendor, kind in (
        ("0000:01:00.0", "0x10de", "0x030000"),
        ("0000:02:00.0", "0x10de", "0x040300"),
        ("0000:03:00.0", "0x1af4", "0x030000"),
    ):
        device = tmp_path / name
        device.mkdir()
        (device / "vendor").write_text(f"{vendor}\n")
        (device / "class").write_text(f"{kind}\n")
    (finding,) = undriven(tmp_path)
    assert (finding.level, finding.subject) == ("note", "0000:01:00.0")
    assert not list(undriven(tmp_path / "missing"))
