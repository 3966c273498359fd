import pytest

from moorage.engines.registry import ENGINES
from moorage.environments.bounded import Outcome
from moorage.environments.recipes import RECIPES
from moorage.serve.doctor.engines import LIBRARIES, absent, installed, requirement
from moorage.serve.doctor.findings import Level

LLAMA = LIBRARIES["llama.cpp"]
ABOUT = '{"about": "CPU : SSE3 = 1 | AVX = 1 | AVX2 = 1 | AVX512 = 0 | REPACK = 1 | "}\n'


def test_every_engine_is_known_as_a_library_or_as_a_program() -> None:
    assert set(LIBRARIES).isdisjoint(RECIPES)
    assert set(ENGINES) - set(LIBRARIES) - set(RECIPES) <= {"url"}


def test_what_moorage_wants() -> None:
    assert requirement(LLAMA).startswith("xllamacpp==")
    assert requirement(LIBRARIES["onnx"]).startswith("onnxruntime")
    assert requirement(LIBRARIES["faster-whisper"]).startswith("faster-whisper")


@pytest.mark.parametrize(
    ("outcome", "level", "what", "words"),
    [
        (Outcome(0, ABOUT, ""), "ok", "llama.cpp", ", compiled for AVX2"),
        (Outcome(0, "no json", ""), "ok", "llama.cpp", "xllamacpp"),
        (Outcome(-4, "", ""), "problem", "llama.cpp does not load", "ends with SIGILL: it needs instructions"),
        (Outcome(-11, "", ""), "problem", "llama.cpp does not load", "ends with SIGSEGV: the library is broken"),
        (
            Outcome(1, "", "Traceback …\nImportError: libgomp.so.1: cannot open shared object file"),
            "problem",
            "llama.cpp does not load",
            "cannot be imported: ImportError: libgomp.so.1",
        ),
        (Outcome(None, "", ""), "warning", "llama.cpp did not load in time", "the machine is very busy"),
    ],
)
def test_installed(outcome: Outcome, level: Level, what: str, words: str) -> None:
    version = requirement(LLAMA).partition("==")[2]
    finding = installed("llama.cpp", LLAMA, version, outcome)
    assert (finding.level, finding.what) == (level, what)
    assert finding.detail.startswith(f"xllamacpp {version}")
    assert words in finding.detail


def test_of_another_version() -> None:
    finding = installed("llama.cpp", LLAMA, "0.1", Outcome(0, ABOUT, ""))
    assert (finding.level, finding.what) == ("warning", "llama.cpp of another version")
    assert finding.fix.endswith(f"-m pip install {requirement(LLAMA)}")


def test_not_installed() -> None:
    assert absent("llama.cpp", LLAMA).level == "problem"
    speech = absent("faster-whisper", LIBRARIES["faster-whisper"])
    assert (speech.level, speech.detail) == ("note", "speech to text; the extra 'speech' brings it")
    assert "-m pip install" in speech.fix
    assert "faster-whisper" in speech.fix
