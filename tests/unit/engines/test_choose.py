from dataclasses import replace

import pytest

from moorage.config.model import EngineOptions, ModelSpec
from moorage.core.facts import ModelFacts
from moorage.core.ports import Launch, LaunchOrder, Support
from moorage.engines.choose import best_of, choose, trial
from moorage.engines.llamacpp import LlamaCpp
from moorage.engines.vllm import Vllm
from moorage.errors import EngineError
from moorage.wire.control import Installation, Machine

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


def test_what_an_install_would_mend_is_told_first() -> None:
    safetensors = replace(FACTS, format="safetensors", architecture="mamba")
    with pytest.raises(EngineError, match=r"here: vllm: it is not installed: [a-z ]+ vllm; llama\.cpp: "):
        best_of([LlamaCpp(), Vllm()], "m", safetensors, MACHINE)


class Picky(Better):
    name = "picky"

    def launch(self, order: LaunchOrder) -> Launch:
        if order.model.options.extra_args:
            raise EngineError("it has no such field")
        return super().launch(order)


def test_an_option_that_one_lacks_leads_to_the_next() -> None:
    wish = ModelSpec(name="m", source="x", options=EngineOptions(extra_args={"use_mlock": True}))
    for options, expected in ((spec(), "picky"), (wish, "llama.cpp")):
        asked = trial(options, FACTS, MACHINE)
        assert best_of([LlamaCpp(), Picky()], "m", FACTS, MACHINE, asked).engine.name == expected
    assert best_of([LlamaCpp(), Picky()], "m", FACTS, MACHINE, asked).why[1] == "not picky: it has no such field"
    assert best_of([Picky()], "m", FACTS, MACHINE, asked).engine.name == "picky"


def test_the_task_that_is_asked_counts() -> None:
    """OpenVINO reads this file to chat, and makes no embeddings of it."""
    file = replace(FACTS, quantization="Q4_1", number_formats=("Q4_1",), tokenizer="gpt2 smollm", chat_template="x")
    assert choose(ModelSpec(name="m", source="x", task="embed"), file, MACHINE).engine.name == "llama.cpp"


def test_a_named_engine_is_taken() -> None:
    assert choose(spec("llama.cpp"), FACTS, MACHINE).engine.name == "llama.cpp"


@pytest.mark.parametrize("name", ["auto", "llama.cpp"])
def test_a_refusal_gives_reasons(name: str) -> None:
    with pytest.raises(EngineError, match=r"llama\.cpp.*it needs at least .* [MGT]B"):
        choose(spec(name), FACTS, SMALL)


def test_a_pin_names_a_version() -> None:
    with pytest.raises(EngineError, match="engine 'vllm==' names no version behind =="):
        choose(spec("vllm=="), FACTS, MACHINE)


def test_a_pinned_version_must_be_there() -> None:
    missing = r"engine 'llama-server==9\.9': this version is not installed: moorage engine install llama-server==9\.9"
    with pytest.raises(EngineError, match=missing):
        choose(spec("llama-server==9.9"), FACTS, MACHINE)
    here = Installation(engine="llama-server", version="9.8", command=("/bin/llama-server",))
    other = Machine(hostname="here", cores=2, memory_bytes=1 << 33, installations=(here,))
    with pytest.raises(EngineError, match=r"not installed, only 9\.8: moorage engine install llama-server==9\.9"):
        choose(spec("llama-server==9.9"), FACTS, other)
    assert choose(spec("llama-server==9.8"), FACTS, other).engine.name == "llama-server"


def test_a_library_is_there_in_one_version() -> None:
    with pytest.raises(EngineError, match=r"llama\.cpp is a part of Moorage, here as xllamacpp \S+; leave out ==1\.0"):
        choose(spec("llama.cpp==1.0"), FACTS, MACHINE)
