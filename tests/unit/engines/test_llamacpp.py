import json
from dataclasses import replace
from typing import Any

import pytest

from moorage.config.model import ModelSpec
from moorage.core.facts import ModelFacts
from moorage.core.ports import LaunchOrder
from moorage.engines.llamacpp import LlamaCpp
from moorage.errors import EngineError
from moorage.wire import runtime
from moorage.wire.control import Machine
from moorage.wire.runtime import LlamaCppSettings

GIB = 1 << 30
SMOL = ModelFacts(
    path="/models/smol.gguf", format="gguf", task="generate", architecture="llama", size_bytes=98 << 20,
    parameters=134_515_008, quantization="Q4_1", context_length=8192, layers=30, embedding_length=576, heads=9,
    kv_heads=3, key_length=64, value_length=64, vocabulary=49152, chat_template="{{ messages }}",
)  # fmt: skip
LARGE = replace(
    SMOL, size_bytes=5 * GIB, parameters=8_000_000_000, context_length=131072, layers=32, embedding_length=4096,
    heads=32, kv_heads=8, key_length=128, value_length=128,
)  # fmt: skip
ENCODER = replace(
    SMOL, task="embed", architecture="bert", context_length=512, pooling="cls", vocabulary=30522, chat_template=None
)


def machine(memory_gib: float = 24) -> Machine:
    return Machine(hostname="here", cores=6, memory_bytes=int(memory_gib * GIB))


def order(facts: ModelFacts = SMOL, memory_gib: float = 24, task: str = "auto", **options: Any) -> LaunchOrder:
    spec = ModelSpec.model_validate({"name": "a/b", "source": "x", "task": task, "options": options})
    return LaunchOrder(
        replica="r", model=spec, facts=facts, machine=machine(memory_gib), socket="/run/r/engine.sock", token="secret"
    )


def settings(given: LaunchOrder) -> LlamaCppSettings:
    (content,) = LlamaCpp().launch(given).files.values()
    return runtime.decode(LlamaCppSettings, content)


def test_a_launch_hides_its_secret_and_says_why() -> None:
    launch = LlamaCpp().launch(order())
    assert "secret" not in " ".join(launch.argv)
    assert launch.argv[-1] in launch.files
    assert launch.address == "unix:/run/r/engine.sock"
    assert (launch.capacity, launch.max_model_len, launch.task) == (4, 8192, "generate")
    assert launch.served_name == "a/b"
    text = "\n".join(launch.why)
    for words in (
        "8192 tokens a call: what the model was trained for",
        "4 calls at once",
        "6 threads",
        "of memory",
    ):
        assert words in text, text


def test_options_win_and_are_named() -> None:
    given = order(max_model_len=2000, max_sequences=3, threads=2, batch_tokens=64, kv_cache_dtype="q8_0")
    found = settings(given)
    assert (found.context, found.slots, found.threads, found.batch_tokens) == (2000, 3, 2, 64)
    assert found.kv_cache_dtype == "q8_0"
    text = "\n".join(LlamaCpp().launch(given).why)
    for name in given.model.options.model_fields_set:
        assert f"options.{name}" in text, text


def test_a_large_model_gets_fewer_calls_before_less_context() -> None:
    found = settings(order(LARGE, memory_gib=16))
    assert found.slots < 4
    assert 4096 <= found.context <= 32768
    roomy = settings(order(LARGE, memory_gib=256))
    assert (roomy.slots, roomy.context) == (4, 32768)


def test_no_prefix_cache_when_it_is_off() -> None:
    found = settings(order(prefix_caching=False))
    assert (found.prefix_caching, found.prompt_cache_mib) == (False, 0)


def test_embeddings_are_computed_in_one_step() -> None:
    found = settings(order(ENCODER))
    assert (found.task, found.context, found.batch_tokens, found.pooling) == ("embed", 512, 512, "file")
    spoken = settings(order(SMOL, task="embed"))
    assert (spoken.context, spoken.batch_tokens, spoken.pooling) == (2048, 2048, "mean")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (order(max_model_len=10000), "trained for 8192"),
        (order(LARGE, memory_gib=12, max_model_len=65536), "kv_cache_dtype"),
        (order(replace(ENCODER, pooling="rank")), "reranker"),
        (order(quantization="int8"), "take the one with the numbers you want"),
        (order(replace(ENCODER, pooling=None), task="generate"), "encoder"),
    ],
)
def test_wishes_that_do_not_fit(given: LaunchOrder, words: str) -> None:
    with pytest.raises(EngineError, match=words):
        LlamaCpp().launch(given)


def test_a_context_can_be_stretched_knowingly() -> None:
    found = settings(order(max_model_len=16384, extra_args={"rope_scaling_type": "yarn"}))
    assert found.context == 16384
    assert found.extra_args == {"rope_scaling_type": "yarn"}


def test_support_depends_on_memory() -> None:
    assert LlamaCpp().supports(SMOL, machine()).ok
    small = LlamaCpp().supports(LARGE, machine(4))
    assert not small.ok
    assert "needs at least" in small.why


def test_probes_are_real_calls() -> None:
    engine = LlamaCpp()
    probe = engine.probe(engine.launch(order()))
    assert (probe.method, probe.path) == ("POST", "/v1/completions")
    assert json.loads(probe.body or b"")["max_tokens"] == 1
    assert engine.probe(engine.launch(order(ENCODER))).path == "/v1/embeddings"


def test_metrics_that_are_missing_are_unknown() -> None:
    engine = LlamaCpp()
    assert engine.observe({}).progress is None
    assert engine.observe({}).running is None
    scrape = {
        "moorage_runtime_running": 2.0,
        "moorage_runtime_queued": 1.0,
        "llamacpp:n_decode_total": 40.0,
        "moorage_runtime_calls_finished_total": 3.0,
    }
    load = engine.observe(scrape)
    assert (load.running, load.queued, load.progress, load.kv_used) == (2, 1, 43, None)


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("E llama_model_load: error loading model: unknown model architecture: 'foo'\nE failed to load", "'foo'"),
        ("tensor 'x' data is not within the file bounds, model is corrupted or incomplete", "truncated"),
        ("gguf_init_from_reader: failed to read magic", "truncated"),
        ("gguf_init_from_reader: invalid magic characters: 'PK', expected 'GGUF'", "not a GGUF"),
        ("failed to open GGUF file '/x' (Permission denied)", "Permission denied"),
        ("ggml_aligned_malloc: insufficient memory (attempted to allocate 4398.75 MB)", "not enough memory"),
        ("moorage: another process listens on /x: stop it", "socket is taken"),
        ("moorage: options.extra_args.n_batches: llama.cpp has no field 'n_batches'; near names: n_batch", "n_batches"),
        ("ggml.c:1: GGML_ASSERT(a == b) failed", "a == b"),
    ],
)
def test_known_causes(log: str, words: str) -> None:
    diagnosis = LlamaCpp().diagnose(f"some line\n{log}\n")
    assert diagnosis is not None
    assert words in diagnosis.cause
    assert diagnosis.fix


def test_an_unknown_cause_is_none() -> None:
    assert LlamaCpp().diagnose("all is well") is None


@pytest.mark.parametrize(
    ("size_bytes", "options", "threads"),
    [
        (94 << 20, {}, (1, 6)),
        (800 << 20, {}, (6, 6)),
        (94 << 20, {"threads": 2}, (2, 2)),
        (800 << 20, {"threads": 1}, (1, 1)),
    ],
)
def test_a_stream_of_a_small_model_takes_fewer_threads(
    size_bytes: int, options: dict[str, Any], threads: tuple[int, int]
) -> None:
    found = settings(order(replace(SMOL, size_bytes=size_bytes), **options))
    assert (found.stream_threads, found.threads) == threads
