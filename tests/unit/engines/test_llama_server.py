from dataclasses import replace
from typing import Any

import pytest

from moorage.config.model import ModelSpec
from moorage.core.facts import ModelFacts
from moorage.core.ports import LaunchOrder
from moorage.engines.llama_server import LlamaServer
from moorage.errors import EngineError
from moorage.wire.control import Device, Installation, Machine

GIB = 1 << 30
SMOL = ModelFacts(
    path="/models/smol.gguf", format="gguf", task="generate", architecture="llama", size_bytes=98 << 20,
    parameters=134_515_008, quantization="Q4_1", context_length=8192, layers=30, embedding_length=576, heads=9,
    kv_heads=3, key_length=64, value_length=64, vocabulary=49152, chat_template="{{ tools }}",
)  # fmt: skip
CARD = Device(kind="cuda", index=0, name="H200", memory_bytes=140 * GIB)
FLAGS = (
    *("--model", "--alias", "--host", "--metrics", "--no-ui", "--offline", "--no-slots", "--cors-origins", "--fit"),
    *("--log-colors", "--ctx-size", "--parallel", "--no-kv-unified", "--batch-size", "--ubatch-size", "--threads"),
    *("--threads-batch", "--threads-http", "--cache-type-k", "--cache-type-v", "--cache-ram", "--embeddings"),
    *("--pooling", "--reranking", "--jinja", "--no-cache-prompt", "--n-gpu-layers", "--split-mode", "--rope-scaling"),
    *("--rope-scale", "--yarn-orig-ctx", "--flash-attn", "--mlock-nothing"),
)


def machine(*devices: Device, flags: tuple[str, ...] | None = FLAGS, installed: bool = True) -> Machine:
    found = Installation(
        engine="llama-server", version="b9000", command=("/opt/llama-server",), flags=flags, env={"LD_X": "1"}
    )
    return Machine(
        hostname="here", cores=6, memory_bytes=24 * GIB, devices=devices, installations=(found,) if installed else ()
    )


def order(facts: ModelFacts = SMOL, here: Machine | None = None, task: str = "auto", **options: Any) -> LaunchOrder:
    spec = ModelSpec.model_validate({"name": "a/b", "source": "x", "task": task, "options": options})
    here = here or machine()
    return LaunchOrder(
        replica="a-b-0", model=spec, facts=facts, machine=here, socket="/run/e.sock", token="secret",
        devices=here.devices,
    )  # fmt: skip


def value(argv: tuple[str, ...], flag: str) -> str:
    return argv[argv.index(flag) + 1]


def test_what_it_supports() -> None:
    engine = LlamaServer()
    assert not engine.supports(replace(SMOL, format="safetensors"), machine()).ok
    assert not engine.supports(replace(SMOL, task="classify"), machine()).ok
    absent = engine.supports(SMOL, machine(installed=False))
    assert not absent.ok
    assert "not installed" in absent.why
    large = replace(SMOL, size_bytes=60 * GIB)
    assert not engine.supports(large, machine()).ok
    here, there = engine.supports(SMOL, machine()), engine.supports(large, machine(CARD))
    assert here.ok
    assert here.rank < 10
    assert (there.ok, there.accelerator) == (True, "cuda")
    assert there.rank > 10


def test_a_start() -> None:
    launch = LlamaServer().launch(order(max_model_len=2048, max_sequences=2))
    argv = launch.argv
    assert argv[0] == "/opt/llama-server"
    assert value(argv, "--host") == "/run/e.sock"
    assert launch.address == "unix:/run/e.sock"
    assert (value(argv, "--ctx-size"), value(argv, "--parallel")) == ("4096", "2")
    assert (value(argv, "--batch-size"), value(argv, "--ubatch-size")) == ("256", "256")
    assert value(argv, "--threads-http") == "18"
    assert value(argv, "--n-gpu-layers") == "0"
    assert (launch.capacity, launch.max_model_len) == (2, 2048)
    assert "secret" not in " ".join(argv)
    assert launch.env["LLAMA_API_KEY"] == "secret"
    assert launch.env["LD_X"] == "1"
    assert launch.manners.adds == {"return_progress": True}
    assert launch.manners.forces_tools


def test_calls_cannot_be_forced_where_the_template_knows_no_tools() -> None:
    launch = LlamaServer().launch(order(replace(SMOL, chat_template="{{ messages }}")))
    assert not launch.manners.forces_tools
    assert any("cannot be forced" in line for line in launch.why)


def test_encoders() -> None:
    embed = LlamaServer().launch(order(replace(SMOL, task="embed", context_length=512)))
    assert "--embeddings" in embed.argv
    assert value(embed.argv, "--pooling") == "mean"
    assert value(embed.argv, "--ubatch-size") == "512"
    rerank = LlamaServer().launch(order(replace(SMOL, task="rerank", pooling="rank", context_length=512)))
    assert "--reranking" in rerank.argv
    assert "--pooling" not in rerank.argv


def test_accelerators_take_all_layers_and_their_memory_counts() -> None:
    argv = LlamaServer().launch(order(replace(SMOL, size_bytes=60 * GIB), machine(CARD))).argv
    assert value(argv, "--n-gpu-layers") == "999"
    two = machine(CARD, replace_index(CARD, 1))
    assert value(LlamaServer().launch(order(SMOL, two, tensor_parallel=2)).argv, "--split-mode") == "row"
    assert value(LlamaServer().launch(order(SMOL, two, pipeline_parallel=2)).argv, "--split-mode") == "layer"


def test_a_stretched_context() -> None:
    stretched = {"type": "yarn", "factor": 4}
    launch = LlamaServer().launch(order(max_model_len=32768, max_sequences=1, rope_scaling=stretched))
    assert value(launch.argv, "--rope-scaling") == "yarn"
    assert value(launch.argv, "--rope-scale") == "4.0"
    assert value(launch.argv, "--yarn-orig-ctx") == "8192"
    with pytest.raises(EngineError, match="trained for 8192"):
        LlamaServer().launch(order(max_model_len=32768))
    with pytest.raises(EngineError, match="linear and yarn"):
        LlamaServer().launch(order(rope_scaling={"type": "dynamic", "factor": 2}))


def test_an_older_one_is_told_only_what_it_knows() -> None:
    old = tuple(
        flag for flag in FLAGS if flag not in ("--no-ui", "--fit", "--cors-origins", "--cache-ram", "--no-kv-unified")
    )
    argv = LlamaServer().launch(order(here=machine(flags=(*old, "--no-webui")))).argv
    assert "--no-webui" in argv
    assert "--fit" not in argv
    assert "--cache-ram" not in argv


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lora": {"x": "y"}}, "options.lora"),
        ({"data_parallel": 2}, "raise replicas"),
        ({"quantization": "int4"}, "quantised already"),
        ({"extra_args": {"host": "0.0.0.0"}}, "not for you to set"),
        ({"extra_args": {"mlock": True}}, "load-mode"),
        ({"extra_args": {"mlock-nothin": True}}, "did you mean --mlock-nothing"),
    ],
)
def test_refusals(options: dict[str, Any], words: str) -> None:
    with pytest.raises(EngineError, match=words):
        LlamaServer().launch(order(**options))


def test_metrics() -> None:
    engine = LlamaServer()
    new = engine.observe(
        {"llamacpp:requests_processing": 2, "llamacpp:requests_deferred": 1, "llamacpp:n_decode_total": 7}
    )
    assert (new.running, new.queued, new.kv_used, new.progress) == (2, 1, None, 7)
    old = engine.observe({"llamacpp:kv_cache_usage_ratio": 0.5, "llamacpp:tokens_predicted_total": 3})
    assert (old.running, old.queued, old.kv_used, old.progress) == (None, None, 0.5, 3)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("error loading model: unknown model architecture: 'mllama'", "architecture"),
        (
            "llama_model_load: error loading model: tensor 'blk.2.ffn_down.weight' data is not within the file bounds, "
            "model is corrupted or incomplete",
            "truncated",
        ),
        (
            "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 144817.04 MiB on device 0: cudaMalloc failed: out "
            "of memory\nalloc_tensor_range: failed to allocate CUDA0 buffer of size 151851674624\n"
            "llama_model_load: error loading model: unable to allocate CUDA0 buffer",
            "device-memory",
        ),
        (
            "1.06.520.084 E ggml_gallocr_reserve_n_impl: failed to allocate CUDA1 buffer of size 54262464512\n"
            "1.06.520.086 E graph_reserve: failed to allocate compute buffers",
            "compute-buffers",
        ),
        ("llama_new_context_with_model: V cache quantization requires flash_attn", "kv-dtype"),
        (
            "failed to initialize the context: quantized V cache was requested, but this requires Flash Attention",
            "kv-dtype",
        ),
        ("start: couldn't bind HTTP server socket, hostname: /run/llamafile-79764.sock", "socket"),
        (
            "0.00.006.142 E llama_model_load_from_file_impl: no backends are loaded. hint: use ggml_backend_load() or "
            "ggml_backend_load_all() to load a backend before calling this function",
            "backends",
        ),
        ("error: invalid argument: --nope", "argument"),
    ],
)
def test_known_failures(line: str, name: str) -> None:
    found = LlamaServer().diagnose(line)
    assert found is not None
    assert found.signature == f"llama-server.{name}"
    assert "{" not in found.cause + found.fix


def replace_index(device: Device, index: int) -> Device:
    return Device(kind=device.kind, index=index, name=device.name, memory_bytes=device.memory_bytes)
