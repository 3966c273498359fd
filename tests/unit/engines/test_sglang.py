import json
from dataclasses import replace
from typing import Any

import pytest

from moorage.engines.sglang import SgLang
from moorage.errors import EngineError
from tests.unit.engines.cards import LLAMA, card, installation, machine, order, unknown, value

VERSIONS = ("sglang-0.5.4", "sglang-0.5.9", "sglang-0.5.23")
FOUND = installation("sglang", "sglang-0.5.23", "/env/bin/sglang", "serve")
ALL: dict[str, Any] = {
    "max_model_len": 65536, "max_sequences": 64, "batch_tokens": 4096, "dtype": "bfloat16", "kv_cache_dtype": "fp8",
    "quantization": "fp8", "memory_fraction": 0.8, "tensor_parallel": 2, "pipeline_parallel": 2, "cuda_graphs": False,
    "attention_backend": "triton", "cpu_offload": "4GB", "trust_remote_code": True, "prefix_caching": False,
    "rope_scaling": {"type": "yarn", "factor": 2},
}  # fmt: skip


def test_what_it_supports() -> None:
    engine = SgLang()
    assert engine.proven == ""
    assert not engine.supports(replace(LLAMA, format="gguf"), machine(FOUND, card())).ok
    assert not engine.supports(replace(LLAMA, task="rerank"), machine(FOUND, card())).ok
    assert "moorage engine install sglang" in engine.supports(LLAMA, machine(None, card())).why
    assert "this machine has none" in engine.supports(LLAMA, machine(FOUND)).why
    assert not engine.supports(LLAMA, machine(FOUND, card(gib=8))).ok
    found = engine.supports(LLAMA, machine(FOUND, card()))
    assert (found.ok, found.accelerator, found.rank) == (True, "cuda", 29)


@pytest.mark.parametrize("recorded", VERSIONS)
def test_every_flag_is_one_of_that_version(recorded: str) -> None:
    found = installation("sglang", recorded, "/env/bin/python", "-m", "sglang.launch_server")
    wish = order(found, cards=4, loras={"poet": "/adapters/poet"}, **ALL)
    launch = SgLang().launch(wish)
    assert unknown(launch.argv[3:], recorded) == []
    plain = SgLang().launch(order(found))
    assert unknown(plain.argv[3:], recorded) == []


def test_options_become_flags() -> None:
    launch = SgLang().launch(order(FOUND, cards=4, loras={"poet": "/adapters/poet"}, **ALL))
    argv = launch.argv
    assert argv[:2] == ("/env/bin/sglang", "serve")
    for flag, expected in {
        "--model-path": "/models/llama", "--served-model-name": "a/b", "--host": "127.0.0.1", "--port": "4321",
        "--context-length": "65536", "--max-running-requests": "64", "--chunked-prefill-size": "4096",
        "--mem-fraction-static": "0.8", "--tp-size": "2", "--pp-size": "2", "--kv-cache-dtype": "fp8_e4m3",
        "--quantization": "fp8", "--dtype": "bfloat16", "--attention-backend": "triton", "--cpu-offload-gb": "4",
        "--cuda-graph-backend-decode": "disabled", "--lora-paths": "poet=/adapters/poet",
    }.items():  # fmt: skip
        assert value(argv, flag) == expected, flag
    assert {"--disable-radix-cache", "--trust-remote-code", "--enable-metrics", "--enable-lora"} <= set(argv)
    rope = json.loads(value(argv, "--json-model-override-args"))["rope_scaling"]
    assert rope == {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 131072}
    assert (launch.address, launch.capacity, launch.max_model_len) == ("http://127.0.0.1:4321", 64, 65536)
    assert launch.env["OWN"] == "1"
    assert launch.manners.lora_name.format(model="a/b", lora="poet") == "a/b:poet"


def test_the_key_is_in_a_file_and_nowhere_else() -> None:
    launch = SgLang().launch(order(FOUND))
    assert launch.token == "s3cret"
    assert "s3cret" not in " ".join(launch.argv)
    assert "s3cret" not in str(launch.env)
    assert launch.files == {value(launch.argv, "--config"): b'{"api-key": "s3cret"}'}


def test_graphs_were_another_flag() -> None:
    old = installation("sglang", "sglang-0.5.9", "/env/bin/sglang", "serve")
    assert "--disable-cuda-graph" in SgLang().launch(order(old, cuda_graphs=False)).argv


@pytest.mark.parametrize(
    ("wanted", "flag", "words"),
    [
        ("int8", "fp8", "the nearest to int8"),
        ("int4", "bitsandbytes", "the nearest to int4"),
        ("nf4", "bitsandbytes", "the nearest to nf4"),
    ],
)
def test_quantisation_at_load(wanted: str, flag: str, words: str) -> None:
    launch = SgLang().launch(order(FOUND, quantization=wanted))
    assert value(launch.argv, "--quantization") == flag
    assert any(words in line for line in launch.why)


def test_quantised_files_need_no_flag() -> None:
    launch = SgLang().launch(order(FOUND, replace(LLAMA, quantization="awq 4-bit"), quantization="awq"))
    assert "--quantization" not in launch.argv


def test_vectors() -> None:
    assert "--is-embedding" in SgLang().launch(order(FOUND, task="embed")).argv


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"quantization": "awq"}, "a way files are made"),
        ({"max_model_len": 200000}, "trained for 131072"),
        ({"extra_args": {"host": "0.0.0.0"}}, "not for you to set"),
        ({"extra_args": {"tp-size": 2}}, "set options.tensor_parallel"),
        ({"extra_args": {"torchao-config": "int8wo"}}, "0.5.23 has no --torchao-config: set options.quantization"),
        ({"extra_args": {"enable-metric": True}}, "did you mean --enable-metrics"),
    ],
)
def test_refusals(options: dict[str, Any], words: str) -> None:
    with pytest.raises(EngineError, match=words):
        SgLang().launch(order(FOUND, **options))


def test_a_model_too_large_for_its_cards_is_refused_before_the_start() -> None:
    large = replace(LLAMA, size_bytes=140 * (1 << 30), parameters=70_000_000_000, layers=80, embedding_length=8192)
    with pytest.raises(EngineError, match="before any KV cache"):
        SgLang().launch(order(FOUND, large))
    assert SgLang().launch(order(FOUND, large, cards=4, tensor_parallel=4)).argv


def test_metrics_of_both_spellings() -> None:
    for mark in (":", "_"):
        told = {"num_running_reqs": 3.0, "num_queue_reqs": 1.0, "token_usage": 0.25, "generation_tokens_total": 10.0}
        load = SgLang().observe({f"sglang{mark}{name}": number for name, number in told.items()})
        assert (load.running, load.queued, load.kv_used, load.progress) == (3, 1, 0.25, 10)
    assert SgLang().observe({}).running is None


def test_adapters_come_and_go() -> None:
    engine = SgLang()
    assert json.loads(engine.load_lora("poet", "/p").body or b"") == {"lora_name": "poet", "lora_path": "/p"}
    assert engine.unload_lora("poet").path == "/unload_lora_adapter"
