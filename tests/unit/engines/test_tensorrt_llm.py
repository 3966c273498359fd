import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from moorage.engines.tensorrt_llm import TensorRtLlm
from moorage.errors import EngineError
from tests.unit.engines.cards import LLAMA, card, installation, machine, order, unknown, value

RECORDED = "tensorrt-llm-1.2"
FOUND = installation("tensorrt-llm", RECORDED, "/env/bin/trtllm-serve", "serve")
ALL: dict[str, Any] = {
    "max_model_len": 65536, "max_sequences": 64, "batch_tokens": 4096, "dtype": "bfloat16", "kv_cache_dtype": "fp8",
    "memory_fraction": 0.8, "tensor_parallel": 2, "pipeline_parallel": 2, "cuda_graphs": False,
    "attention_backend": "TRTLLM", "trust_remote_code": True, "prefix_caching": False,
}  # fmt: skip


def settings(files: Any) -> dict[str, Any]:
    (content,) = files.values()
    return json.loads(content)


def test_what_it_supports() -> None:
    engine = TensorRtLlm()
    assert engine.proven == ""
    assert not engine.supports(replace(LLAMA, format="gguf"), machine(FOUND, card())).ok
    assert not engine.supports(replace(LLAMA, task="embed"), machine(FOUND, card())).ok
    assert "moorage engine install tensorrt-llm" in engine.supports(LLAMA, machine(None, card())).why
    assert not engine.supports(LLAMA, machine(FOUND)).ok
    found = engine.supports(LLAMA, machine(FOUND, card()))
    assert (found.ok, found.accelerator, found.rank) == (True, "cuda", 20)


def test_options_become_flags_and_settings() -> None:
    launch = TensorRtLlm().launch(order(FOUND, cards=4, **ALL))
    argv = launch.argv
    assert argv[:3] == ("/env/bin/trtllm-serve", "serve", "/models/llama")
    assert unknown(argv[3:], RECORDED) == []
    for flag, expected in {
        "--host": "127.0.0.1", "--port": "4321", "--max_seq_len": "65536", "--max_batch_size": "64",
        "--max_num_tokens": "4096", "--tp_size": "2", "--pp_size": "2", "--backend": "pytorch",
    }.items():  # fmt: skip
        assert value(argv, flag) == expected, flag
    assert "--trust_remote_code" in argv
    said = settings(launch.files)
    assert value(argv, "--config") in launch.files
    assert said["return_perf_metrics"] is True
    assert said["cuda_graph_config"] is None
    assert (said["dtype"], said["attn_backend"]) == ("bfloat16", "TRTLLM")
    cache = said["kv_cache_config"]
    assert (cache["enable_block_reuse"], cache["dtype"]) == (False, "fp8")
    assert float(value(argv, "--free_gpu_memory_fraction")) == cache["free_gpu_memory_fraction"]
    assert (launch.token, launch.address) == ("", "http://127.0.0.1:4321")


def test_a_share_of_the_card_becomes_one_of_what_the_weights_leave() -> None:
    free = settings(TensorRtLlm().launch(order(FOUND, memory_fraction=0.5)).files)["kv_cache_config"]
    assert 0.2 < free["free_gpu_memory_fraction"] < 0.45, "half of 80 GiB, less 16 GiB of weights, of 62 GiB"
    assert "free_gpu_memory_fraction" not in settings(TensorRtLlm().launch(order(FOUND)).files)["kv_cache_config"]


def test_its_name_is_its_folders_unless_it_can_be_told() -> None:
    assert TensorRtLlm().launch(order(FOUND)).served_name == "llama"
    newer = msgspec.structs.replace(FOUND, flags=(*(FOUND.flags or ()), "--served_model_name"))
    assert TensorRtLlm().launch(order(newer)).served_name == "a/b"


def test_older_names_of_flags() -> None:
    older = tuple(flag for flag in FOUND.flags or () if flag not in ("--config", "--free_gpu_memory_fraction"))
    launch = TensorRtLlm().launch(order(msgspec.structs.replace(FOUND, flags=older), memory_fraction=0.5))
    assert {"--extra_llm_api_options", "--kv_cache_free_gpu_memory_fraction"} <= set(launch.argv)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"quantization": "int8"}, "take a checkpoint made so"),
        ({"rope_scaling": {"type": "yarn", "factor": 2}}, "config.json"),
        ({"lora": {"a": "b"}}, "options.lora"),
        ({"data_parallel": 2}, "options.data_parallel"),
        ({"extra_args": {"api-key": "x"}}, "has no --api-key: it has none"),
        ({"extra_args": {"max_seq_len": 5}}, "set options.max_model_len"),
    ],
)
def test_refusals(options: dict[str, Any], words: str) -> None:
    with pytest.raises(EngineError, match=words):
        TensorRtLlm().launch(order(FOUND, cards=2, **options))


def test_metrics() -> None:
    told = {"trtllm_num_requests_running": 2.0, "trtllm_num_requests_waiting": 5.0, "trtllm_kv_cache_utilization": 0.5}
    load = TensorRtLlm().observe(told)
    assert (load.running, load.queued, load.kv_used, load.progress) == (2, 5, 0.5, None)
