import pytest

from moorage.serve.doctor.findings import Level
from moorage.serve.doctor.processor import cores, flags, instructions, load, model_name

ICE_LAKE = """processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) Platinum 8370C CPU @ 2.80GHz
flags\t\t: fpu sse4_2 avx f16c avx2 fma bmi2 avx512f avx512bw avx512vl avx512_vnni
"""
OLD = "model name\t: Intel(R) Pentium(R) CPU G4400 @ 3.30GHz\nflags\t\t: fpu sse4_2 avx f16c bmi2\n"
GRAVITON = "processor\t: 0\nFeatures\t: fp asimd evtstrm aes asimdhp asimddp sve i8mm bf16\nCPU part\t: 0xd40\n"
PI = "processor\t: 0\nFeatures\t: fp asimd evtstrm crc32 cpuid\n"


def test_what_the_kernel_tells() -> None:
    assert model_name(ICE_LAKE) == "Intel Xeon Platinum 8370C CPU @ 2.80GHz"
    assert model_name(GRAVITON) != ""
    assert "avx512_vnni" in flags(ICE_LAKE)
    assert "asimddp" in flags(GRAVITON)
    assert flags("") == frozenset()


@pytest.mark.parametrize(
    ("architecture", "cpuinfo", "level", "what", "detail"),
    [
        (
            "x86_64",
            ICE_LAKE,
            "ok",
            "AVX2, AVX-512, VNNI",
            "int8 models run at full speed; llama.cpp's build uses AVX2 of it",
        ),
        ("x86_64", OLD, "problem", "no AVX2, FMA", "llama.cpp's build needs it and would end with SIGILL"),
        ("x86_64", "", "warning", "no AVX2, FMA, F16C, BMI2", "llama.cpp's build needs it and would end with SIGILL"),
        ("aarch64", GRAVITON, "ok", "NEON, dot product, I8MM, BF16, SVE", "int8 models run at full speed"),
        ("aarch64", PI, "ok", "NEON", "int8 models gain little speed here"),
    ],
)
def test_instructions(architecture: str, cpuinfo: str, level: Level, what: str, detail: str) -> None:
    finding = instructions(architecture, flags(cpuinfo))
    assert (finding.level, finding.what, finding.detail) == (level, what, detail)


@pytest.mark.parametrize(
    ("usable", "affinity", "installed", "quota", "level", "detail"),
    [
        (8, 8, 8, None, "ok", "8 cores"),
        (2, 2, 8, None, "note", "2 of 8 cores usable: bound to 2 (affinity)"),
        (2, 8, 8, 1.5, "note", "2 of 8 cores usable: 1.5 cores' time (cgroup quota)"),
        (1, 1, 1, None, "warning", "1 core; the engine and the gateway share a single core"),
    ],
)
def test_cores(usable: int, affinity: int, installed: int, quota: float | None, level: Level, detail: str) -> None:
    finding = cores("CPU", usable, affinity, installed, quota)
    assert (finding.level, finding.detail) == (level, detail)


def test_load() -> None:
    assert load(0.3, 2).level == "ok"
    assert load(7.1, 2).level == "note"
