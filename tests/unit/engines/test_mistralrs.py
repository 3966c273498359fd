from dataclasses import replace
from typing import Any

import pytest

from moorage.engines.mistralrs import MistralRs, is_new
from moorage.errors import EngineError
from tests.unit.engines.cards import LLAMA, card, installation, machine, order, unknown, value

NEW = installation("mistralrs", "mistralrs-0.9", "/opt/mistralrs", "serve")
OLD = installation("mistralrs", "mistralrs-server-0.6", "/opt/mistralrs-server")
GGUF = replace(
    LLAMA, format="gguf", path="/models/q/llama-q4.gguf", weights=("/models/q/llama-q4.gguf",), quantization="Q4_K",
    size_bytes=5 << 30,
)  # fmt: skip
ALL: dict[str, Any] = {
    "max_sequences": 16, "batch_tokens": 1024, "dtype": "bfloat16", "kv_cache_dtype": "fp8", "quantization": "int4",
    "memory_fraction": 0.7, "tensor_parallel": 2, "cuda_graphs": False, "prefix_caching": False,
}  # fmt: skip


def test_the_old_and_the_new_are_told_apart() -> None:
    assert is_new(NEW)
    assert not is_new(OLD)


def test_what_it_supports() -> None:
    engine = MistralRs()
    assert engine.proven == ""
    assert not engine.supports(replace(LLAMA, format="onnx"), machine(NEW, card())).ok
    assert not engine.supports(replace(LLAMA, task="rerank"), machine(NEW, card())).ok
    assert "not installed" in engine.supports(LLAMA, machine(None, card())).why
    assert "others are faster" in engine.supports(LLAMA, machine(NEW)).why
    for facts in (LLAMA, GGUF):
        found = engine.supports(facts, machine(OLD, card()))
        assert (found.ok, found.accelerator, found.rank) == (True, "cuda", 15)


@pytest.mark.parametrize("facts", [LLAMA, GGUF])
def test_the_new_command_line(facts: Any) -> None:
    wish: dict[str, Any] = ALL | ({"quantization": "none"} if facts is GGUF else {})
    launch = MistralRs().launch(order(NEW, facts, cards=2, loras={"poet": "/a/poet"}, **wish))
    argv = launch.argv
    assert argv[:2] == ("/opt/mistralrs", "serve")
    assert unknown(argv[2:], "mistralrs-0.9") == []
    for flag, expected in {
        "--host": "127.0.0.1", "--port": "4321", "--max-seqs": "16", "--prefix-cache-n": "0",
        "--pa-memory-fraction": "0.7", "--pa-cache-type": "f8e4m3", "--lora": "poet=/a/poet",
    }.items():  # fmt: skip
        assert value(argv, flag) == expected, flag
    if facts is GGUF:
        assert (value(argv, "--format"), value(argv, "--model-id")) == ("gguf", "/models/q")
        assert value(argv, "--quantized-file") == "llama-q4.gguf"
    else:
        assert (value(argv, "--model-id"), value(argv, "--dtype")) == ("/models/llama", "bf16")
        assert value(argv, "--isq") == "4"
    assert launch.env["MISTRALRS_CUDA_GRAPHS"] == "0"
    assert (launch.served_name, launch.token) == ("default", "")


@pytest.mark.parametrize("facts", [LLAMA, GGUF])
def test_the_old_command_line(facts: Any) -> None:
    wish: dict[str, Any] = ALL | ({"quantization": "none"} if facts is GGUF else {})
    argv = MistralRs().launch(order(OLD, facts, cards=2, **wish)).argv
    assert argv[0] == "/opt/mistralrs-server"
    assert unknown(argv[1:], "mistralrs-server-0.6") == []
    assert value(argv, "--serve-ip") == "127.0.0.1"
    assert value(argv, "--pa-gpu-mem-usage") == "0.7"
    assert value(argv, "--prompt-batchsize") == "1024"
    kind = "gguf" if facts is GGUF else "plain"
    before, behind = argv[: argv.index(kind)], argv[argv.index(kind) :]
    assert "--max-seqs" in before
    assert ("--quantized-model-id" if facts is GGUF else "--model-id") in behind


def test_a_length_sizes_the_pool_of_all_calls() -> None:
    launch = MistralRs().launch(order(NEW, max_model_len=4096, max_sequences=8))
    assert value(launch.argv, "--pa-context-len") == "32768"
    assert "--pa-memory-fraction" not in launch.argv


@pytest.mark.parametrize(
    ("found", "facts", "options", "words"),
    [
        (NEW, GGUF, {"quantization": "int4"}, "quantised already"),
        (NEW, LLAMA, {"quantization": "awq"}, "a way files are made"),
        (NEW, LLAMA, {"tensor_parallel": 3}, "power of two"),
        (NEW, LLAMA, {"rope_scaling": {"type": "linear", "factor": 2}}, "options.rope_scaling"),
        (NEW, LLAMA, {"pipeline_parallel": 2}, "options.pipeline_parallel"),
        (NEW, LLAMA, {"extra_args": {"isq": "4"}}, "set options.quantization"),
        (NEW, LLAMA, {"extra_args": {"pa-ctxt-len": 1}}, "set options.max_model_len"),
        (NEW, LLAMA, {"extra_args": {"ui": True}}, "not for you to set"),
    ],
)
def test_refusals(found: Any, facts: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(EngineError, match=words):
        MistralRs().launch(order(found, facts, cards=3, **options))


def test_the_old_one_takes_no_adapters() -> None:
    with pytest.raises(EngineError, match=r"takes no options\.lora"):
        MistralRs().launch(order(OLD, loras={"poet": "/a/poet"}))


def test_metrics() -> None:
    told = {
        "mistralrs_sequences_running": 2.0, "mistralrs_sequences_waiting": 0.0, "mistralrs_kv_cache_blocks_used": 25.0,
        "mistralrs_kv_cache_blocks_total": 100.0, "mistralrs_tokens_processed_total": 9.0,
    }  # fmt: skip
    load = MistralRs().observe(told)
    assert (load.running, load.queued, load.kv_used, load.progress) == (2, 0, 0.25, 9)
    assert MistralRs().observe({}).kv_used is None
