import pytest

from moorage.engines.llamacpp import LlamaCpp
from moorage.engines.registry import ENGINES, load, registered
from moorage.errors import EngineError


class Own(LlamaCpp):
    name = "own"


INSTANCE = Own()
NOT_AN_ENGINE = object()


def test_every_engine_of_the_table_loads_and_has_its_name() -> None:
    assert [engine.name for engine in registered()] == list(ENGINES)


@pytest.mark.parametrize("attribute", ["Own", "INSTANCE"])
def test_an_adapter_of_ones_own(attribute: str) -> None:
    assert load(f"{__name__}:{attribute}").name == "own"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("llamacpp", "did you mean 'llama.cpp'"),
        ("Llama-CPP", "did you mean 'llama.cpp'"),
        ("zzz", "known are auto, llama.cpp"),
        ("no.such.module:Thing", "No module named"),
        (f"{__name__}:Missing", "Missing"),
        (f"{__name__}:NOT_AN_ENGINE", "is no adapter: it has no name"),
        (":x", "cannot be loaded"),
    ],
)
def test_names_that_are_none(name: str, words: str) -> None:
    with pytest.raises(EngineError, match=words):
        load(name)
