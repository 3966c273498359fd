"""Models, machines and installations for the adapters of engines that compute on accelerators."""

from pathlib import Path
from typing import Any

from moorage.config.model import ModelSpec
from moorage.core.facts import ModelFacts
from moorage.core.ports import LaunchOrder
from moorage.wire.control import Device, Installation, Machine

GIB = 1 << 30
FLAGS = Path(__file__).parents[2] / "data" / "flags"
LLAMA = ModelFacts(
    path="/models/llama", weights=("/models/llama/model.safetensors",), format="safetensors", task="generate",
    architecture="llama", size_bytes=16 * GIB, parameters=8_030_000_000, quantization="BF16", context_length=131072,
    layers=32, embedding_length=4096, heads=32, kv_heads=8, key_length=128, value_length=128, vocabulary=128256,
    chat_template="{{ tools }}",
)  # fmt: skip


def card(index: int = 0, gib: int = 80) -> Device:
    return Device(kind="cuda", index=index, name="H100", memory_bytes=gib * GIB, compute_capability="9.0")


def flags_of(recorded: str) -> tuple[str, ...]:
    """Of a version whose command line is on record in tests/data/flags."""
    lines = (FLAGS / f"{recorded}.txt").read_text().splitlines()
    return tuple(line for line in lines if not line.startswith("#"))


def installation(engine: str, recorded: str, *command: str) -> Installation:
    version = recorded.rpartition("-")[2]
    return Installation(engine=engine, version=version, command=command, flags=flags_of(recorded), env={"OWN": "1"})


def machine(found: Installation | None, *devices: Device) -> Machine:
    return Machine(
        hostname="here", cores=16, memory_bytes=128 * GIB, devices=devices, installations=(found,) if found else ()
    )


def order(
    found: Installation,
    facts: ModelFacts = LLAMA,
    cards: int = 1,
    loras: dict[str, str] | None = None,
    task: str = "auto",
    **options: Any,
) -> LaunchOrder:
    options |= {"lora": loras} if loras else {}
    spec = ModelSpec.model_validate({"name": "a/b", "source": "x", "task": task, "options": options})
    devices = tuple(card(index) for index in range(cards))
    return LaunchOrder(
        replica="a-b-0", model=spec, facts=facts, machine=machine(found, *devices), socket="/run/r/engine.sock",
        token="s3cret", port=4321, devices=devices, loras=loras or {},
    )  # fmt: skip


def value(argv: tuple[str, ...], flag: str) -> str:
    return argv[argv.index(flag) + 1]


def unknown(argv: tuple[str, ...], recorded: str) -> list[str]:
    """Flags of a command line that the version on record does not have."""
    known = flags_of(recorded)
    return [word for word in argv if word.startswith("--") and word not in known]
