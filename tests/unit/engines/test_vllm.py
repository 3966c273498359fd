import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace as replace_struct

from moorage.config.model import ModelSpec
from moorage.core.facts import ModelFacts
from moorage.core.ports import Launch, LaunchOrder
from moorage.engines.vllm import Vllm
from moorage.errors import EngineError
from moorage.telemetry.exposition import read
from moorage.wire.control import Device, Installation, Machine

GIB = 1 << 30
DATA = Path(__file__).parents[2] / "data" / "metrics"
SMOL = ModelFacts(
    path="/models/smol", format="safetensors", task="generate", architecture="llama", size_bytes=269_060_552,
    parameters=134_515_008, quantization="BF16", context_length=8192, layers=30, embedding_length=576, heads=9,
    kv_heads=3, key_length=64, value_length=64, vocabulary=49152, chat_template="{{ messages }}", rope_theta=100000.0,
)  # fmt: skip
MINILM = replace(SMOL, task="embed", architecture="bert", size_bytes=90_868_376, context_length=256, kv_heads=9)
LLAMA_8B = replace(
    SMOL, size_bytes=16 * GIB, parameters=8_030_000_000, context_length=131072, layers=32, embedding_length=4096,
    heads=32, kv_heads=8, key_length=128, value_length=128, vocabulary=128256,
)  # fmt: skip
CARD = Device(kind="cuda", index=0, name="Card", memory_bytes=24 * GIB, uuid="GPU-1")
BEFORE = """# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{model_name="m"} 2.0
vllm:num_requests_waiting{model_name="m"} 1.0
vllm:gpu_cache_usage_perc{model_name="m"} 0.42
vllm:prompt_tokens_total{model_name="m"} 1000.0
vllm:generation_tokens_total{model_name="m"} 200.0
"""
"""The names of the first engine, up to 0.10."""
FLAGS = (
    *("--uds", "--host", "--port", "--served-model-name", "--disable-uvicorn-access-log", "--max-model-len"),
    *("--max-num-seqs", "--max-num-batched-tokens", "--gpu-memory-utilization", "--kv-cache-memory-bytes", "--dtype"),
    *("--quantization", "--kv-cache-dtype", "--no-enable-prefix-caching", "--attention-backend", "--enforce-eager"),
    *(
        "--tensor-parallel-size",
        "--pipeline-parallel-size",
        "--data-parallel-size",
        "--cpu-offload-gb",
        "--hf-overrides",
    ),
    *("--trust-remote-code", "--enable-lora", "--max-loras", "--max-cpu-loras", "--max-lora-rank", "--lora-modules"),
    *("--runner", "--convert", "--enable-auto-tool-choice", "--tool-call-parser", "--seed", "--no-enforce-eager"),
    "--enable-prompt-tokens-details",
)


def order(
    facts: ModelFacts = SMOL, *, flags: tuple[str, ...] | None = FLAGS, devices: tuple[Device, ...] = (),
    memory_gib: float = 24, cpus: tuple[int, ...] = (0, 1), task: str = "auto",
    loras: dict[str, str] | None = None, **options: Any,
) -> LaunchOrder:  # fmt: skip
    options |= {"lora": dict.fromkeys(loras, "x")} if loras else {}
    spec = ModelSpec.model_validate({"name": "a/b", "source": "x", "task": task, "options": options})
    found = Installation(
        engine="vllm", version="0.32.0+cpu", command=("/e/bin/vllm", "serve"), flags=flags, env={"LD_PRELOAD": "/l.so"}
    )
    machine = Machine(
        hostname="h", cores=2, memory_bytes=int(memory_gib * GIB), cpus=cpus, devices=devices, installations=(found,)
    )
    return LaunchOrder(
        replica="r", model=spec, facts=facts, machine=machine, socket="/run/r/engine.sock", token="secret", port=4711,
        devices=devices, loras=loras or {},
    )  # fmt: skip


def launch(*args: Any, **fields: Any) -> Launch:
    return Vllm().launch(order(*args, **fields))


def value(launched: Launch, flag: str) -> str:
    return launched.argv[launched.argv.index(flag) + 1]


def test_a_launch_hides_its_secret_and_says_why() -> None:
    launched = launch()
    assert launched.argv[:3] == ("/e/bin/vllm", "serve", "/models/smol")
    assert "secret" not in " ".join(launched.argv)
    assert launched.env["VLLM_API_KEY"] == "secret"
    assert launched.address == "unix:/run/r/engine.sock"
    assert (launched.capacity, launched.max_model_len, launched.task) == (32, 8192, "generate")
    assert "--enforce-eager" in launched.argv
    for name, wanted in (
        *(("VLLM_NO_USAGE_STATS", "1"), ("DO_NOT_TRACK", "1"), ("HF_HUB_OFFLINE", "1"), ("PYTHONPATH", "")),
        *(("LD_PRELOAD", "/l.so"), ("VLLM_CPU_OMP_THREADS_BIND", "0,1")),
    ):
        assert launched.env[name] == wanted
    assert "VLLM_PORT" not in launched.env
    assert "VLLM_CPU_KVCACHE_SPACE" not in launched.env
    assert launched.memory is not None
    assert launched.memory.kv_bytes == int(value(launched, "--kv-cache-memory-bytes"))


def test_threads_are_bound_only_where_all_processors_are_taken() -> None:
    part = launch(threads=1).env
    assert (part["VLLM_CPU_OMP_THREADS_BIND"], part["OMP_NUM_THREADS"]) == ("nobind", "1")
    assert launch(cpus=(0, 1, 2, 3)).env["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"


def test_an_old_version_listens_on_a_port_and_is_told_its_cache_by_a_variable() -> None:
    gone = ("--uds", "--kv-cache-memory-bytes", "--runner", "--convert")
    old = (*(flag for flag in FLAGS if flag not in gone), "--task", "--disable-log-requests")
    launched = launch(flags=old)
    assert launched.address == "http://127.0.0.1:4711"
    assert (value(launched, "--host"), value(launched, "--port")) == ("127.0.0.1", "4711")
    assert launched.env["VLLM_CPU_KVCACHE_SPACE"] == "1"
    assert "--disable-log-requests" in launched.argv
    assert value(launch(MINILM, flags=old), "--task") == "embed"


def test_encoders_pool_and_are_told_of_a_cache_that_is_not_used() -> None:
    launched = launch(MINILM)
    assert value(launched, "--runner") == "pooling"
    assert "--convert" not in launched.argv
    assert (launched.max_model_len, value(launched, "--kv-cache-memory-bytes")) == (256, str(64 << 20))
    assert json.loads(Vllm().probe(launched).body or b"") == {"model": "a/b", "input": "ready"}
    assert value(launch(SMOL, task="embed"), "--convert") == "embed"


def test_on_accelerators_the_context_is_what_their_memory_holds() -> None:
    launched = launch(LLAMA_8B, devices=(CARD,), memory_fraction=0.9)
    assert launched.max_model_len is not None
    assert 8192 < launched.max_model_len < 131072
    assert value(launched, "--gpu-memory-utilization") == "0.9"
    assert launched.capacity == 256
    assert "--enforce-eager" not in launched.argv
    assert "--kv-cache-memory-bytes" not in launched.argv
    two = launch(LLAMA_8B, devices=(CARD, CARD), tensor_parallel=2)
    assert two.max_model_len == 131072
    assert value(two, "--tensor-parallel-size") == "2"
    with pytest.raises(EngineError, match=r"raise options\.tensor_parallel"):
        launch(replace(LLAMA_8B, size_bytes=40 * GIB), devices=(CARD,))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"quantization": "int8"}, "--quantization int8_per_channel_weight_only"),
        ({"quantization": "nf4"}, "--quantization int8_per_channel_weight_only"),
        ({"quantization": "fp8"}, "--quantization int8_per_channel_weight_only"),
        ({"dtype": "float16"}, "--dtype float16"),
        ({"kv_cache_dtype": "q8_0"}, "--kv-cache-dtype fp8"),
        ({"prefix_caching": False}, "--no-enable-prefix-caching"),
        ({"trust_remote_code": True}, "--trust-remote-code"),
        ({"batch_tokens": 512}, "--max-num-batched-tokens 512"),
        ({"attention_backend": "CPU_ATTN"}, "--attention-backend CPU_ATTN"),
        ({"extra_args": {"seed": 7}}, "--seed 7"),
    ],
)
def test_options_become_flags(options: dict[str, Any], words: str) -> None:
    assert words in " ".join(launch(**options).argv)


def test_the_nearest_is_named() -> None:
    assert any("the nearest to nf4" in line for line in launch(quantization="nf4").why)
    assert any("the nearest to fp8" in line for line in launch(quantization="fp8").why)
    assert value(launch(devices=(CARD,), quantization="fp8"), "--quantization") == "fp8"
    assert any("the nearest to q4_0" in line for line in launch(kv_cache_dtype="q4_0").why)


def test_a_stretched_context_keeps_the_base_of_its_angles() -> None:
    launched = launch(rope_scaling={"type": "yarn", "factor": 2}, max_model_len=16384)
    assert json.loads(value(launched, "--hf-overrides")) == {
        "rope_parameters": {
            "rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 8192, "rope_theta": 100000.0,
        },
        "max_position_embeddings": 16384,
    }  # fmt: skip
    with pytest.raises(EngineError, match="rope_theta"):
        launch(replace(SMOL, rope_theta=None), rope_scaling={"type": "linear", "factor": 2})


def test_adapters_are_served_beside_the_model() -> None:
    launched = launch(loras={"pirate": "/a/b c"})
    assert json.loads(value(launched, "--lora-modules")) == {"name": "pirate", "path": "/a/b c"}
    assert launched.loras == {"pirate": "/a/b c"}
    assert launched.env["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == "1"
    assert "--enable-lora" not in launch().argv
    assert json.loads(Vllm().load_lora("x", "/y").body or b"") == {"lora_name": "x", "lora_path": "/y"}
    assert Vllm().unload_lora("x").path == "/v1/unload_lora_adapter"


@pytest.mark.parametrize(
    ("template", "parser"),
    [("… <tool_call> …", "hermes"), ("[TOOL_CALLS]", "mistral"), ("<|python_tag|>", "llama3_json"), ("plain", None)],
)
def test_calls_of_tools_are_read_as_the_template_writes_them(template: str, parser: str | None) -> None:
    launched = launch(replace(SMOL, chat_template=template))
    assert ("--tool-call-parser" in launched.argv) == (parser is not None)
    if parser:
        assert value(launched, "--tool-call-parser") == parser


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"extra_args": {"swap-space": 4}}, "swapped out"),
        ({"extra_args": {"disable-log-requests": True}}, "unless enable-log-requests"),
        ({"extra_args": {"device": "cuda"}}, "the installed build decides"),
        ({"extra_args": {"task": "embed"}}, "set the model's task"),
        ({"extra_args": {"quantization": "int8"}}, r"no value of vLLM's: set options\.quantization"),
        ({"extra_args": {"dtype": "int8"}}, r"options\.quantization"),
        ({"extra_args": {"max-model-len": 5}}, r"set options\.max_model_len"),
        ({"extra_args": {"api-key": "x"}}, r"auth\.keys"),
        ({"extra_args": {"port": 1}}, "listen where moorage tells them"),
        ({"extra_args": {"max-num-seq": 5}}, r"did you mean --max-num-seqs\?"),
        ({"env": {"VLLM_PORT": "8000"}}, "breaks starts"),
        ({"env": {"VLLM_GPU_MEM_FRACTION": "0.5"}}, r"options\.memory_fraction"),
        ({"max_model_len": 9000}, r"trained for 8192 tokens.*rope_scaling"),
        ({"quantization": "awq"}, "a way files are made"),
    ],
)
def test_what_would_fail_later_is_refused_now(options: dict[str, Any], words: str) -> None:
    with pytest.raises(EngineError, match=words):
        launch(**options)


def test_what_it_supports() -> None:
    machine = order().machine
    found = Vllm().supports(SMOL, machine)
    assert (found.ok, found.rank, found.accelerator) == (True, 5, "")
    bare = Machine(hostname="h", cores=2, memory_bytes=24 * GIB)
    assert Vllm().supports(SMOL, bare).why == "it is not installed: moorage engine install vllm"
    assert "plug-in" in Vllm().supports(replace(SMOL, format="gguf"), machine).why
    assert "MLX" in Vllm().supports(replace(SMOL, quantization="mlx 4-bit"), machine).why
    assert not Vllm().supports(LLAMA_8B, order(memory_gib=8).machine).ok
    cuda = Installation(engine="vllm", version="0.32.0", command=("vllm", "serve"))
    with_card = Machine(hostname="h", cores=2, memory_bytes=24 * GIB, devices=(CARD,), installations=(cuda,))
    found = Vllm().supports(LLAMA_8B, with_card)
    assert (found.ok, found.rank, found.accelerator) == (True, 30, "cuda")
    built = replace_struct(cuda, variant="cpu")
    assert Vllm().supports(SMOL, replace_struct(with_card, installations=(built,))).accelerator == ""


def test_metrics_as_they_are_told_now_and_were_before() -> None:
    seen = Vllm().observe(read((DATA / "vllm-0.32.txt").read_text()))
    assert (seen.running, seen.queued, seen.kv_used, seen.progress) == (0, 0, 0, 66 + 19 + 19)
    seen = Vllm().observe(read(BEFORE))
    assert (seen.running, seen.queued, seen.kv_used, seen.progress) == (2, 1, 0.42, 1200)


def test_of_several_ranks_the_share_is_their_mean_and_unknown_is_not_nothing() -> None:
    told = {"vllm:kv_cache_usage_perc": 1.5, "vllm:cache_config_info": 2.0}
    assert Vllm().observe(told).kv_used == 0.75
    assert Vllm().observe({}) == Vllm().observe({"other": 1.0})
    assert Vllm().observe({}).running is None
