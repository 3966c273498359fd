from dataclasses import replace

import pytest

from moorage.config.model import ModelSpec
from moorage.core.facts import ModelFacts
from moorage.core.ports import Support
from moorage.engines.choose import best_of, choose
from moorage.engines.llamacpp import LlamaCpp
from moorage.errors import EngineError
from moorage.wire.control import Machine

FACTS = ModelFacts(path="/m.gguf", format="gguf", task="generate", architecture="llama", size_bytes=1 << 20)
MACHINE = Machine(hostname="here", cores=2, memory_bytes=1 << 33)
SMALL = Machine(hostname="here", cores=2, memory_bytes=1 << 20)


class Better(LlamaCpp):
    name = "better"

    def supports(self, facts: ModelFacts, machine: Machine) -> Support:
        return Support(ok=facts.architecture == "llama", why="made for llamas", rank=99)


def spec(engine: str = "auto") -> ModelSpec:
    return ModelSpec(name="m", source="x", engine=engine)


def test_auto_says_why() -> None:
    engine, why, _ = choose(spec(), FACTS, MACHINE)
    assert engine.name == "llama.cpp"
    assert why[0].startswith("llama.cpp: runs GGUF files")


def test_the_highest_rank_wins_and_the_others_are_told() -> None:
    engine, why, _ = best_of([LlamaCpp(), Better()], "m", FACTS, MACHINE)
    assert engine.name == "better"
    assert why == ("better: made for llamas", "not llama.cpp: ranked lower; runs GGUF files on the CPU")
    engine, why, _ = best_of([LlamaCpp(), Better()], "m", replace(FACTS, architecture="gemma"), MACHINE)
    assert engine.name == "llama.cpp"
    assert why[1] == "not better: made for llamas"


def test_a_named_engine_is_taken() -> None:
    assert choose(spec("llama.cpp"), FACTS, MACHINE).engine.name == "llama.cpp"


@pytest.mark.parametrize("name", ["auto", "llama.cpp"])
def test_a_refusal_gives_reasons(name: str) -> None:
    with pytest.raises(EngineError, match=r"llama\.cpp.*it needs at least .* [MGT]B"):
        choose(spec(name), FACTS, SMALL)
