from dataclasses import replace
from typing import Any

import pytest

from moorage.config.model import ModelSpec
from moorage.core.facts import ModelFacts
from moorage.core.ports import LaunchOrder
from moorage.engines.openvino_encoding import launch_encoder, supports_encoder
from moorage.engines.openvino_encoding_signatures import SIGNATURES
from moorage.engines.signatures import diagnose
from moorage.errors import EngineError
from moorage.wire import runtime
from moorage.wire.control import Machine
from moorage.wire.runtime import EncoderSettings

GIB = 1 << 30
MINILM = ModelFacts(
    path="/models/minilm", format="openvino", task="embed", architecture="bert", size_bytes=45_130_893,
    parameters=22_565_412, quantization="fp16", context_length=256, layers=6, embedding_length=384, heads=12,
    kv_heads=12, key_length=32, value_length=32, vocabulary=30522, pooling="mean",
)  # fmt: skip
RERANKER = replace(MINILM, task="rerank", pooling=None)


def machine(memory_gib: float = 24) -> Machine:
    return Machine(hostname="here", cores=6, memory_bytes=int(memory_gib * GIB))


def order(facts: ModelFacts = MINILM, task: str = "auto", **options: Any) -> LaunchOrder:
    spec = ModelSpec.model_validate({"name": "a/b", "source": "x", "task": task, "options": options})
    return LaunchOrder(
        replica="r", model=spec, facts=facts, machine=machine(), socket="/run/r/engine.sock", token="secret"
    )


def settings(given: LaunchOrder) -> EncoderSettings:
    (content,) = launch_encoder(given).files.values()
    return runtime.decode(EncoderSettings, content)


def test_what_it_runs() -> None:
    assert supports_encoder(MINILM, machine()).why == "runs fp16 OpenVINO encoders on the CPU"
    assert supports_encoder(RERANKER, machine()).ok
    assert "this one is onnx" in supports_encoder(replace(MINILM, format="onnx"), machine()).why
    assert "needs at least" in supports_encoder(replace(MINILM, size_bytes=9 * GIB), machine(8)).why


def test_a_launch_of_its_own_host() -> None:
    launch = launch_encoder(order())
    assert launch.argv[1:3] == ("-m", "moorage.runtimes.openvino_encoder")
    assert (launch.capacity, launch.max_model_len, launch.task) == (64, 256, "embed")
    assert "secret" not in " ".join(launch.argv)
    found = settings(order(max_model_len=128, threads=2, extra_args={"pooling": "cls", "niceness": 0}))
    assert (found.context, found.threads, found.pooling, found.niceness) == (128, 2, "cls", 0)


def test_memory_counts_the_file_and_what_is_made_of_it() -> None:
    found = launch_encoder(order()).memory
    assert found is not None
    assert found.weights_bytes == 3 * MINILM.size_bytes
    assert found.kv_bytes == 0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (order(max_model_len=512), "reads 256"),
        (order(task="rerank"), "cosine"),
        (order(task="generate"), "encoder"),
        (order(quantization="int8"), "of openvino take the file that is quantised already"),
        (order(extra_args={"colour": 1}), "unknown to openvino"),
        (order(tensor_parallel=2), "openvino has no options.tensor_parallel"),
    ],
)
def test_wishes_that_do_not_fit(given: LaunchOrder, words: str) -> None:
    with pytest.raises(EngineError, match=words):
        launch_encoder(given)


def test_what_is_not_used_is_told() -> None:
    why = launch_encoder(order(dtype="bfloat16")).why
    assert "options.dtype is not used: openvino has no such thing" in why


@pytest.mark.parametrize(
    ("log", "signature"),
    [
        ("moorage: '/m' has no tokenizer.json, without which no text can be read: put …", "openvino.no-tokenizer"),
        ("moorage: '/m/openvino_tokenizer.xml' is no tokenizer that can be read: x", "openvino.tokenizer"),
        ("moorage: '/m/openvino_model.xml' is no OpenVINO IR, or broken: no element found", "openvino.damaged"),
        ("moorage: '/m/openvino_model.xml' has no weights beside it: 'openvino_model.bin'", "openvino.damaged"),
        ("moorage: the model gives NaN in place of numbers: its weights are damaged", "openvino.not-numbers"),
        ("moorage: the model gives no label scores: set its task to embed", "openvino.task"),
    ],
)
def test_known_causes(log: str, signature: str) -> None:
    found = diagnose(f"moorage: loading /m: to embed\n{log}\n", SIGNATURES)
    assert found is not None
    assert found.signature == signature
