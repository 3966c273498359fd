"""Estimates against what engines were seen to take (make bench-memory), so that they cannot drift apart unnoticed."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from moorage.config.model import ModelSpec
from moorage.core.facts import ModelFacts
from moorage.core.memory import MIB, MemoryEstimate, Use
from moorage.core.ports import LaunchOrder
from moorage.engines.footprints import FOOTPRINTS, least_bytes, need
from moorage.engines.registry import ENGINES, load
from moorage.wire.control import Installation, Machine

RECORDS = Path(__file__).parents[2] / "data" / "memory"
WEIGHTS_AND_CACHE, COMPUTE, TOTAL = 0.10, 0.10, 0.15
"""How far an estimate may be from what was seen."""
MACHINE = Machine(
    hostname="recorded",
    cores=2,
    memory_bytes=8 << 30,
    installations=(Installation(engine="vllm", version="0.32.0+cpu", command=("vllm", "serve")),),
)


def recorded() -> list[Any]:
    found: list[Any] = []
    for path in sorted(RECORDS.glob("*.json")):
        record = json.loads(path.read_text())
        for row in record["rows"]:
            given = "-".join(str(value) for value in row["options"].values())
            facts = record["models"][row["model"]]
            found.append(
                pytest.param(
                    record["engine"], facts, row["options"], row["real"], id=f"{path.stem}-{row['model']}-{given}"
                )
            )
    return found


def facts_of(recorded: dict[str, Any]) -> ModelFacts:
    return msgspec.convert({"path": "/m", **recorded}, ModelFacts)


def estimated(engine: str, facts: dict[str, Any], options: dict[str, Any]) -> MemoryEstimate:
    known = facts_of(facts)
    spec = ModelSpec.model_validate({"name": "m", "source": "/m", "options": options})
    order = LaunchOrder(replica="r", model=spec, facts=known, machine=MACHINE, socket="/run/r/s", token="")
    memory = load(engine).launch(order).memory
    assert memory is not None
    return memory


@pytest.mark.parametrize(("engine", "facts", "options", "real"), recorded())
def test_near_what_was_seen(engine: str, facts: dict[str, Any], options: dict[str, Any], real: dict[str, int]) -> None:
    memory = estimated(engine, facts, options)
    told = {
        "weights": (memory.weights_bytes, WEIGHTS_AND_CACHE),
        "kv": (memory.kv_bytes, WEIGHTS_AND_CACHE),
        "compute": (memory.compute_bytes, COMPUTE),
        "total": (memory.total_bytes - memory.cache_bytes, TOTAL),
    }
    for part, seen in real.items():
        found, most = told[part]
        assert abs(found - seen) <= most * seen, f"{part}: {found / MIB:.1f} MiB estimated, {seen / MIB:.1f} seen"


def test_pools_of_openvino_as_it_tells_them() -> None:
    # ContinuousBatchingPipeline's cache_size_in_bytes for 256 and 1,024 blocks of 32 tokens of SmolLM2, in u8 and f16.
    smol = json.loads((RECORDS / "openvino.json").read_text())["models"]["SmolLM2-135M-Instruct.Q4_1"]
    facts = facts_of(smol)
    for blocks, dtype, seen in ((256, "u8", 112_066_560), (1024, "u8", 448_266_240), (1024, "f16", 754_974_720)):
        use = Use(context=blocks * 32, sequences=1, step_tokens=256, kv_dtype=dtype)
        assert need("openvino", facts, use).kv_bytes == seen


def test_every_engine_here_has_a_footprint() -> None:
    same = {"llama-server": "llama.cpp", "mistralrs": "mistral.rs"}
    assert {same.get(name, name) for name in ENGINES} <= FOOTPRINTS.keys()


@pytest.mark.parametrize("engine", FOOTPRINTS)
def test_something_is_needed_whatever_a_file_says(engine: str) -> None:
    nothing = ModelFacts(path="/m", format="gguf", task="generate", architecture="unknown", size_bytes=0)
    assert least_bytes(engine, nothing) >= 64 * MIB
    large = ModelFacts(path="/m", format="safetensors", task="generate", architecture="x", size_bytes=1 << 34)
    assert least_bytes(engine, large) > 1 << 33
