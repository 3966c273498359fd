import json
from dataclasses import replace
from typing import Any

import pytest

from moorage.config.model import ModelSpec
from moorage.core.facts import ModelFacts
from moorage.core.ports import LaunchOrder
from moorage.engines.onnx import ARCHITECTURES, Onnx
from moorage.errors import EngineError, ModelError
from moorage.runtimes.onnx.graph import build
from moorage.wire import runtime
from moorage.wire.control import Machine
from moorage.wire.runtime import EncoderSettings
from tests.unit.models.files.small_files import BERT, bert

GIB = 1 << 30
MINILM = ModelFacts(
    path="/models/minilm", format="safetensors", task="embed", architecture="bert", size_bytes=90_868_376,
    parameters=22_713_216, quantization="F32", context_length=256, layers=6, embedding_length=384, heads=12,
    kv_heads=12, key_length=32, value_length=32, vocabulary=30522, pooling="mean",
)  # fmt: skip
LONG = replace(
    MINILM, architecture="modernbert", size_bytes=790_000_000, quantization="BF16", context_length=8192,
    embedding_length=1024, heads=16,
)  # fmt: skip
RERANKER = replace(MINILM, task="rerank", pooling="rank", context_length=512)


def machine(memory_gib: float = 24) -> Machine:
    return Machine(hostname="here", cores=6, memory_bytes=int(memory_gib * GIB))


def order(facts: ModelFacts = MINILM, memory_gib: float = 24, task: str = "auto", **options: Any) -> LaunchOrder:
    spec = ModelSpec.model_validate({"name": "a/b", "source": "x", "task": task, "options": options})
    return LaunchOrder(
        replica="r", model=spec, facts=facts, machine=machine(memory_gib), socket="/run/r/engine.sock", token="secret"
    )


def settings(given: LaunchOrder) -> EncoderSettings:
    (content,) = Onnx().launch(given).files.values()
    return runtime.decode(EncoderSettings, content)


def test_a_launch_hides_its_secret_and_says_why() -> None:
    launch = Onnx().launch(order())
    assert "secret" not in " ".join(launch.argv)
    assert launch.argv[-1] in launch.files
    assert launch.address == "unix:/run/r/engine.sock"
    assert (launch.capacity, launch.max_model_len, launch.task) == (64, 256, "embed")
    assert launch.served_name == "a/b"
    assert launch.env["ORT_DISABLE_TELEMETRY"] == "1"
    text = "\n".join(launch.why)
    for words in ("256 tokens a text: what the model was made for", "64 calls at once", "6 threads", "of memory"):
        assert words in text, text


def test_options_win_and_are_named() -> None:
    given = order(max_model_len=128, max_sequences=3, threads=2, batch_tokens=640)
    found = settings(given)
    assert (found.context, found.max_calls, found.threads, found.batch_tokens) == (128, 3, 2, 640)
    text = "\n".join(Onnx().launch(given).why)
    for name in given.model.options.model_fields_set:
        assert f"options.{name}" in text, text


def test_where_the_files_are_silent() -> None:
    silent = replace(MINILM, format="onnx", context_length=None, pooling=None)
    launch = Onnx().launch(order(silent))
    assert launch.max_model_len == 512
    assert "mean pooling: the files say none" in launch.why
    assert "the files say nothing" in launch.why[0]
    chosen = order(silent, extra_args={"pooling": "cls", "matryoshka": True})
    assert (settings(chosen).pooling, settings(chosen).matryoshka) == ("cls", True)
    assert "mean pooling: the files say none" not in Onnx().launch(chosen).why


def test_a_long_context_shrinks_to_the_memory() -> None:
    assert settings(order(LONG, memory_gib=256)).context == 8192
    small = Onnx().launch(order(LONG, memory_gib=8))
    assert 512 <= (small.max_model_len or 0) < 8192
    assert "the model reads 8192" in small.why[0]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (order(max_model_len=512), "reads 256"),
        (order(LONG, memory_gib=4, max_model_len=8192), "options.max_model_len"),
        (order(task="rerank"), "cosine"),
        (order(task="classify"), "set its task to embed"),
        (order(task="generate"), "encoder"),
        (order(RERANKER, task="transcribe"), "encoder"),
        (order(extra_args={"colour": 1}), "extra_args.colour"),
        (order(extra_args={"pooling": "median"}), "pooling"),
        (order(extra_args={"matryoshka": 3}), "matryoshka"),
    ],
)
def test_wishes_that_do_not_fit(given: LaunchOrder, words: str) -> None:
    with pytest.raises(EngineError, match=words):
        Onnx().launch(given)


def test_eight_bit_integers_are_asked_for() -> None:
    asked = order(quantization="int8")
    assert settings(asked).quantize
    assert "8-bit integers: options.quantization" in Onnx().launch(asked).why
    assert not settings(order()).quantize
    with pytest.raises(EngineError, match="take the file that is quantised already"):
        Onnx().launch(order(replace(MINILM, format="onnx"), quantization="int8"))


def test_what_it_supports() -> None:
    engine = Onnx()
    assert engine.supports(MINILM, machine()).ok
    assert engine.supports(RERANKER, machine()).ok
    for facts, words in (
        (replace(MINILM, format="gguf"), "gguf"),
        (replace(MINILM, task="generate"), "generate"),
        (replace(MINILM, architecture="deberta-v2"), "deberta-v2"),
    ):
        found = engine.supports(facts, machine())
        assert not found.ok
        assert words in found.why
    assert engine.supports(replace(MINILM, format="onnx", architecture="deberta-v2"), machine()).ok
    assert "needs at least" in engine.supports(LONG, machine(1)).why


def test_its_families_are_those_of_the_graph(tmp_path: Any) -> None:
    """The runtime names them where it meets another."""
    folder = bert(tmp_path, {**BERT, "model_type": "alien"})
    with pytest.raises(ModelError) as error:
        build(folder)
    listed = error.value.message.partition("where they are ")[2].partition(":")[0]
    assert set(listed.split(", ")) == ARCHITECTURES


def test_probes_are_real_calls() -> None:
    engine = Onnx()
    for facts, path in (
        (MINILM, "/v1/embeddings"),
        (RERANKER, "/rerank"),
        (replace(RERANKER, task="classify"), "/pooling"),
    ):
        probe = engine.probe(engine.launch(order(facts)))
        assert (probe.method, probe.path) == ("POST", path)
        assert json.loads(probe.body or b"")["model"] == "a/b"


def test_metrics_that_are_missing_are_unknown() -> None:
    engine = Onnx()
    assert engine.observe({}).progress is None
    assert engine.observe({}).running is None
    load = engine.observe(
        {
            "moorage_runtime_running": 2.0,
            "moorage_runtime_queued": 1.0,
            "moorage_runtime_steps_total": 40.0,
            "moorage_runtime_calls_finished_total": 3.0,
        }
    )
    assert (load.running, load.queued, load.progress, load.kv_used) == (2, 1, 43, None)


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("moorage: '/m' has no tokenizer.json, without which no text can be read: put …", "'/m'"),
        ("moorage: '/m/tokenizer.json' is no tokenizer that can be read: EOF; get the file again", "tokenizer"),
        ("moorage: ONNX Runtime cannot load '/m.onnx': INVALID_PROTOBUF : Failed to load model", "truncated"),
        ("moorage: '/m/model.safetensors' is truncated: has 3 bytes", "damaged"),
        ("moorage: the model gives NaN in place of numbers: its weights are damaged", "NaN"),
        ("NOT_IMPLEMENTED : Could not find an implementation for Foo(7) node with name ''", "Foo"),
        ("Unsupported model IR version: 99, max supported IR version: 11", "newer"),
        ("std::bad_alloc", "memory"),
        ("moorage: the model gives no label scores: set its task to embed", "no label scores"),
        ("moorage: another process listens on /x: stop it", "socket"),
        ("ModuleNotFoundError: No module named 'onnxruntime'", "libraries"),
        ("moorage: loading /m: to embed\nmoorage: '/m' has a module 'LSTM'; served are", "LSTM"),
    ],
)
def test_known_causes(log: str, words: str) -> None:
    diagnosis = Onnx().diagnose(f"some line\n{log}\n")
    assert diagnosis is not None
    assert words in diagnosis.cause
    assert diagnosis.fix


def test_an_unknown_cause_is_none() -> None:
    assert Onnx().diagnose("moorage: loading /m: to embed\nmoorage: loaded in 0.1 s\nall is well") is None
