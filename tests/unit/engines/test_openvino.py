from dataclasses import replace
from typing import Any

import pytest

from moorage.config.model import ModelSpec
from moorage.core.facts import ModelFacts
from moorage.core.ports import LaunchOrder
from moorage.engines.choose import choose
from moorage.engines.openvino import OpenVino
from moorage.errors import EngineError
from moorage.wire import runtime
from moorage.wire.control import Machine
from moorage.wire.runtime import OpenVinoSettings

pytest.importorskip("openvino_genai", reason="the extra openvino is not installed")

GIB = 1 << 30
SMOL = ModelFacts(
    path="/models/smol.gguf", weights=("/models/smol.gguf",), format="gguf", task="generate", architecture="llama",
    size_bytes=98 << 20, parameters=134_515_008, quantization="Q4_1", number_formats=("F32", "Q4_1", "Q8_0"),
    tokenizer="gpt2 smollm", context_length=8192, layers=30, embedding_length=576, heads=9, kv_heads=3, key_length=64,
    value_length=64, vocabulary=49152, chat_template="{{ messages }}",
)  # fmt: skip
LARGE = replace(
    SMOL, size_bytes=5 * GIB, parameters=8_000_000_000, context_length=131072, layers=32, embedding_length=4096,
    heads=32, kv_heads=8, key_length=128, value_length=128, tokenizer="gpt2 qwen2", architecture="qwen3",
)  # fmt: skip
IR = replace(SMOL, path="/models/ir", format="openvino", quantization="int4", number_formats=(), tokenizer=None)
ENCODER = replace(IR, task="embed", architecture="bert", pooling="mean", context_length=512)


def machine(memory_gib: float = 24) -> Machine:
    return Machine(hostname="here", cores=6, memory_bytes=int(memory_gib * GIB))


def order(facts: ModelFacts = SMOL, memory_gib: float = 24, task: str = "auto", **options: Any) -> LaunchOrder:
    spec = ModelSpec.model_validate({"name": "a/b", "source": "x", "task": task, "options": options})
    return LaunchOrder(
        replica="r", model=spec, facts=facts, machine=machine(memory_gib), socket="/run/r/engine.sock", token="secret"
    )


def settings(given: LaunchOrder) -> OpenVinoSettings:
    (content,) = OpenVino().launch(given).files.values()
    return runtime.decode(OpenVinoSettings, content)


def test_a_launch_hides_its_secret_and_says_why() -> None:
    launch = OpenVino().launch(order())
    assert launch.argv[1:3] == ("-m", "moorage.runtimes.openvino")
    assert "secret" not in " ".join(launch.argv)
    assert (launch.capacity, launch.max_model_len, launch.task) == (16, 8192, "generate")
    text = "\n".join(launch.why)
    for words in (
        "8192 tokens a call",
        "16 calls at once",
        "32768 tokens of KV cache",
        "6 threads",
        "in f32",
        "of memory",
    ):
        assert words in text, text
    assert launch.memory is not None
    assert launch.memory.kv_bytes == pytest.approx(32768 * 13_680, rel=0.01)


def test_options_win_and_are_named() -> None:
    given = order(
        max_model_len=2000, max_sequences=3, threads=2, batch_tokens=64, kv_cache_dtype="f16", dtype="bfloat16"
    )
    found = settings(given)
    assert (found.context, found.sequences, found.threads, found.batch_tokens) == (2000, 3, 2, 64)
    assert (found.kv_cache_dtype, found.precision, found.cache_tokens) == ("f16", "bf16", 6000)
    text = "\n".join(OpenVino().launch(given).why)
    for name in given.model.options.model_fields_set:
        assert f"options.{name}" in text, text


@pytest.mark.parametrize(
    ("wanted", "made"), [("auto", "u8"), ("q8_0", "u8"), ("fp8", "u8"), ("q4_0", "u4"), ("f32", "f32")]
)
def test_the_nearest_format_of_the_cache(wanted: str, made: str) -> None:
    assert settings(order(kv_cache_dtype=wanted)).kv_cache_dtype == made


def test_a_large_model_has_smaller_steps_and_the_cache_that_fits() -> None:
    found = settings(order(LARGE, memory_gib=24))
    assert found.batch_tokens == 32
    assert 1024 <= found.context <= 32768
    assert found.cache_tokens >= found.context
    roomy = settings(order(LARGE, memory_gib=256))
    assert (roomy.context, roomy.cache_tokens) == (32768, 4 * 32768)
    assert settings(order(batch_tokens=32)).batch_tokens == 32
    assert settings(order(batch_tokens=32, max_sequences=48)).batch_tokens == 48


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"architecture": "gemma3"}, "this one is gemma3"),
        ({"weights": ("/a-00001-of-00002.gguf", "/a-00002-of-00002.gguf")}, "of one file, this one has 2"),
        ({"experts": 8}, "no GGUF with experts, this one has 8"),
        ({"rope_scaled": True}, "does not stretch positions"),
        ({"number_formats": ("F32", "Q5_K", "Q6_K")}, "this one has Q5_K"),
        ({"number_formats": ("F32",)}, "this one has F32"),
        ({"tokenizer": "gpt2 tekken"}, "does not know the tokenizer of this GGUF file, gpt2 tekken"),
        ({"tokenizer": None}, "tokenizer of this GGUF file, none"),
        ({"format": "safetensors"}, "this one is safetensors"),
        ({"format": "onnx"}, "this one is onnx"),
        ({"task": "transcribe"}, "no routes for a model to transcribe"),
        ({"size_bytes": 90 * GIB}, "needs at least"),
    ],
)
def test_what_it_cannot_read_it_leaves_to_others(changes: dict[str, Any], why: str) -> None:
    support = OpenVino().supports(replace(SMOL, **changes), machine())
    assert not support.ok
    assert why in support.why


def test_it_comes_before_llama_cpp_where_both_can() -> None:
    spec = ModelSpec.model_validate({"name": "m", "source": "x"})
    choice = choose(spec, SMOL, machine())
    assert choice.engine.name == "openvino"
    assert any(line.startswith("not llama.cpp: ranked lower") for line in choice.why)
    assert choose(spec, replace(SMOL, tokenizer="llama"), machine()).engine.name == "llama.cpp"
    assert choose(spec, IR, machine()).engine.name == "openvino"
    assert choose(spec, ENCODER, machine()).engine.name == "openvino"


def test_encoders_go_to_their_own_host() -> None:
    assert OpenVino().launch(order(ENCODER)).argv[2] == "moorage.runtimes.openvino_encoder"
    with pytest.raises(EngineError, match="no routes for a model to embed"):
        OpenVino().launch(order(SMOL, task="embed"))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"max_model_len": 9000}, "trained for 8192 tokens"),
        ({"quantization": "int4"}, "quantised already"),
        ({"lora": {"a": "b"}}, "has no options.lora"),
        ({"extra_args": {"x": [1]}}, "write one value"),
        ({"max_model_len": 8192, "kv_cache_dtype": "f32", "max_sequences": 256}, None),
    ],
)
def test_wishes_that_do_not_fit(options: dict[str, Any], why: str | None) -> None:
    if why is None:
        assert settings(order(**options)).sequences == 256
        return
    with pytest.raises(EngineError, match=why):
        OpenVino().launch(order(**options))


def test_its_metrics_tell_load_and_progress() -> None:
    names = ("running", "queued", "kv_used", "steps_total", "calls_finished_total")
    load = OpenVino().observe(
        {f"moorage_runtime_{name}": value for name, value in zip(names, (2, 1, 0.25, 40, 3), strict=True)}
    )
    assert (load.running, load.queued, load.kv_used, load.progress) == (2, 1, 0.25, 43)
    assert OpenVino().observe({}).kv_used is None
