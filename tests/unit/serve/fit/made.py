"""Models and machines that nobody has, for reckoning."""

from dataclasses import replace
from typing import Any

from moorage.config.model import ModelSpec
from moorage.core.facts import ModelFacts
from moorage.serve.fit.change import Known
from moorage.wire.control import Device, Installation, Machine

GIB = 1 << 30
SMOL = ModelFacts(
    path="/models/smol.gguf", format="gguf", task="generate", architecture="llama", size_bytes=98 << 20,
    parameters=134_515_008, quantization="Q4_1", context_length=8192, layers=30, embedding_length=576, heads=9,
    kv_heads=3, key_length=64, value_length=64, feed_forward_length=1536, vocabulary=49152,
    chat_template="{{ messages }}",
)  # fmt: skip
SEVEN = replace(
    SMOL, path="/models/seven.gguf", size_bytes=4 * GIB, parameters=7_000_000_000, context_length=32768, layers=32,
    embedding_length=4096, heads=32, kv_heads=8, key_length=128, value_length=128, feed_forward_length=14336,
)  # fmt: skip
EIGHT_16 = replace(
    SEVEN, path="/models/eight", format="safetensors", size_bytes=16 * GIB, parameters=8_000_000_000,
    quantization="BF16", vocabulary=128256,
)  # fmt: skip
TWO_16 = replace(
    EIGHT_16, path="/models/two", size_bytes=3 * GIB, parameters=1_500_000_000, layers=16, embedding_length=2048
)


def known(
    name: str, facts: ModelFacts | None = SMOL, *, replicas: int = 1, engine: str = "auto", **options: Any
) -> Known:
    spec = ModelSpec.model_validate(
        {"name": name, "source": f"/models/{name}", "replicas": replicas, "engine": engine, "options": options}
    )
    return Known(spec=spec, facts=facts)


def machine(memory_gib: float = 24, *cards_gib: float, card: str = "L4") -> Machine:
    """With vLLM installed where it has cards."""
    devices = tuple(
        Device(kind="cuda", index=index, name=card, memory_bytes=int(size * GIB), uuid=f"GPU-{index}")
        for index, size in enumerate(cards_gib)
    )
    vllm = Installation(engine="vllm", version="0.32.0", command=("vllm", "serve"))
    return Machine(
        hostname="made", cores=8, memory_bytes=int(memory_gib * GIB), devices=devices,
        installations=(vllm,) if devices else (),
    )  # fmt: skip
