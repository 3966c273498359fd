"""Embeddings of sentence-transformers folders: the right numbers, whatever they are computed together with."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.integration.runtimes.encoder import folders
from tests.integration.runtimes.encoder.client import (
    EMBED,
    EMBED_V2,
    POOLING,
    TOKENIZE,
    cosines,
    count,
    embeddings,
    good,
    refused,
    unpacked,
)
from tests.integration.runtimes.runtime import Runtime

pytestmark = pytest.mark.engine

REFERENCE: dict[str, Any] = json.loads((Path(__file__).parent / "reference.json").read_bytes())
SENTENCES: list[str] = REFERENCE["sentences"]
VECTORS = np.stack([unpacked(text) for text in REFERENCE["vectors"]])
WIDTH = 384
WORDS = ("harbour", "boat", "rope", "anchor", "tide", "wind", "sail", "keel", "mast", "deck", "storm", "calm", "pier")


def test_float_vectors_are_those_of_transformers(encoder: Runtime) -> None:
    found = embeddings(encoder, SENTENCES, truncate_prompt_tokens=-1)
    assert found.shape == (len(SENTENCES), WIDTH)
    assert cosines(found, VECTORS).min() >= 0.999
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("served", ["encoder_int8", "encoder_quantized"])
def test_int8_vectors_are_close(request: pytest.FixtureRequest, served: str) -> None:
    found = embeddings(request.getfixturevalue(served), SENTENCES, truncate_prompt_tokens=-1)
    assert cosines(found, VECTORS).min() >= 0.99


def test_company_changes_nothing(encoder: Runtime) -> None:
    """Alone, in any order, among texts of other lengths: padding is never seen."""
    texts = [" ".join(WORDS[: 1 + index % len(WORDS)] * (1 + index % 7)) for index in range(40)]
    alone = np.concatenate([embeddings(encoder, text) for text in texts])
    order = random.Random(5).sample(range(len(texts)), len(texts))
    together = embeddings(encoder, [texts[index] for index in order])
    assert np.abs(alone[order] - together).max() < 1e-5


def test_more_texts_than_a_step_holds(encoder: Runtime) -> None:
    words = random.Random(3)
    texts = [" ".join(words.choices(WORDS, k=words.randint(1, 180))) for _ in range(200)]
    before = encoder.metric("moorage_runtime_steps_total"), encoder.metric("moorage_runtime_texts_total")
    found = embeddings(encoder, texts)
    steps = encoder.metric("moorage_runtime_steps_total") - before[0]
    assert encoder.metric("moorage_runtime_texts_total") - before[1] == 200
    assert 10 < steps < 200
    for index in (0, 77, 199):
        assert np.abs(embeddings(encoder, texts[index])[0] - found[index]).max() < 1e-5


def test_two_thousand_texts_are_the_most(encoder: Runtime) -> None:
    assert embeddings(encoder, ["a"] * 2048).shape == (2048, WIDTH)
    assert "2048" in refused(encoder.post(EMBED, {"input": ["a"] * 2049}), "input")


def test_tokens_lists_and_texts_agree(encoder: Runtime) -> None:
    tokens = good(encoder.post(TOKENIZE, {"prompt": "hello world"}))["tokens"]
    (text,) = embeddings(encoder, "hello world")
    for given in (tokens, [tokens], ["hello world"]):
        assert np.abs(embeddings(encoder, given)[0] - text).max() < 1e-6
    two = embeddings(encoder, [tokens, tokens[:2]])
    assert two.shape == (2, WIDTH)


def test_base64_is_the_same_in_little_endian_floats(encoder: Runtime) -> None:
    body = good(encoder.post(EMBED, {"model": "m", "input": ["hello", "bye"], "encoding_format": "base64"}))
    packed = np.stack([unpacked(entry["embedding"]) for entry in body["data"]])
    assert np.array_equal(packed, embeddings(encoder, ["hello", "bye"]))


def test_usage_counts_what_the_model_read(encoder: Runtime) -> None:
    body = good(encoder.post(EMBED, {"input": ["hello world", "one two three"]}))
    assert body["model"] == "encoder"
    assert body["usage"] == {"prompt_tokens": 9, "total_tokens": 9}
    cut = good(encoder.post(EMBED, {"input": "word " * 1000, "truncate": True}))
    assert cut["usage"]["prompt_tokens"] == 256


def test_a_longer_text_is_refused_with_its_length(encoder: Runtime) -> None:
    long = "word " * 300
    message = refused(encoder.post(EMBED, {"input": ["short", long]}), "input[1]", "context_length_exceeded")
    assert str(count(encoder, long)) in message
    assert "256" in message
    assert "truncate_prompt_tokens" in message


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"truncate_prompt_tokens": -1}, "end"),
        ({"truncate_prompt_tokens": 256}, "end"),
        ({"truncate": True}, "end"),
        ({"truncate": "END"}, "end"),
        ({"truncate": "START"}, "start"),
        ({"truncate": "END", "truncation_side": "left"}, "start"),
        ({"truncate_prompt_tokens": -1, "truncation_side": "left"}, "start"),
    ],
)
def test_a_longer_text_is_cut_where_the_call_says(encoder: Runtime, fields: dict[str, Any], kept: str) -> None:
    long = "anchor " * 254 + "storm " * 254
    expected = "anchor " * 254 if kept == "end" else "storm " * 254
    found = embeddings(encoder, long, **fields)
    assert np.abs(found - embeddings(encoder, expected)).max() < 1e-5


def test_cutting_to_fewer_tokens_and_tokens_of_the_client(encoder: Runtime) -> None:
    found = embeddings(encoder, "one two three four", truncate_prompt_tokens=4)
    assert np.abs(found - embeddings(encoder, "one two")).max() < 1e-6
    tokens = good(encoder.post(TOKENIZE, {"prompt": "one two three four"}))["tokens"]
    assert np.array_equal(
        embeddings(encoder, tokens, truncate_prompt_tokens=3, truncation_side="left"),
        embeddings(encoder, tokens[-3:]),
    )


def test_cohere_cuts_unless_told_not_to(encoder: Runtime) -> None:
    body = good(encoder.post(EMBED_V2, {"texts": ["word " * 300, "short"], "input_type": "search_document"}))
    assert body["texts"] == ["word " * 300, "short"]
    assert body["meta"]["billed_units"]["input_tokens"] == 256 + 3
    assert body["meta"]["api_version"]["version"] == "2"
    assert body["response_type"] == "embeddings_by_type"
    assert list(body["embeddings"]) == ["float"]
    message = refused(encoder.post(EMBED_V2, {"texts": ["word " * 300], "truncate": "NONE"}), "texts[0]")
    assert "302 tokens" in message
    assert "truncate" in message
    short = good(encoder.post(EMBED_V2, {"texts": ["one two three four"], "max_tokens": 4}))
    assert np.abs(short["embeddings"]["float"][0] - embeddings(encoder, "one two")[0]).max() < 1e-6
    refused(encoder.post(EMBED_V2, {"texts": ["one two three four"], "max_tokens": 4, "truncate": "NONE"}), "texts[0]")


def test_coheres_kinds_are_one_vector(encoder: Runtime) -> None:
    kinds = ["float", "int8", "uint8", "binary", "ubinary", "base64"]
    texts = ["The cat sits on the mat."]
    found = good(encoder.post(EMBED_V2, {"texts": texts, "embedding_types": kinds}))["embeddings"]
    assert set(found) == set(kinds)
    plain = np.array(found["float"][0], np.float32)
    assert np.array_equal(unpacked(found["base64"][0]), plain)
    small = np.array(found["int8"][0])
    assert np.abs(small - plain * 127).max() <= 0.5 + 1e-4
    assert np.array_equal(np.array(found["uint8"][0]), small + 128)
    bits = np.unpackbits(np.array(found["ubinary"][0], np.uint8))
    assert np.array_equal(bits, plain > 0)
    assert [value + 128 for value in found["binary"][0]] == found["ubinary"][0]
    assert len(found["binary"][0]) == WIDTH // 8
    assert cosines(small.astype(np.float32), plain) > 0.99


def test_coheres_inputs_are_texts(encoder: Runtime) -> None:
    inputs = [{"content": [{"type": "text", "text": "hello"}, {"type": "text", "text": "world"}]}]
    body = good(encoder.post(EMBED_V2, {"inputs": inputs}))
    assert np.abs(body["embeddings"]["float"][0] - embeddings(encoder, "hello world")[0]).max() < 1e-6
    image = [{"content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}]
    refused(encoder.post(EMBED_V2, {"inputs": image}), "inputs[0].content[0]", "unsupported_content")
    refused(encoder.post(EMBED_V2, {"texts": ["a"], "inputs": inputs}), "texts")
    refused(encoder.post(EMBED_V2, {}), "texts")
    refused(encoder.post(EMBED_V2, {"inputs": [{"content": [{"type": "text"}]}]}), "inputs[0].content[0].text")


def test_token_vectors_make_up_the_texts_vector(encoder: Runtime) -> None:
    body = good(encoder.post(POOLING, {"input": ["hello world", "a"], "task": "token_embed", "use_activation": False}))
    first, second = (np.array(entry["data"], np.float32) for entry in body["data"])
    assert first.shape == (4, WIDTH)
    assert second.shape == (3, WIDTH)
    mean = first.mean(axis=0)
    assert np.abs(mean / np.linalg.norm(mean) - embeddings(encoder, "hello world")[0]).max() < 1e-5
    whole = good(encoder.post(POOLING, {"input": "hello world", "encoding_format": "base64"}))
    assert np.abs(unpacked(whole["data"][0]["data"]) - embeddings(encoder, "hello world")[0]).max() < 1e-6


def test_a_matryoshka_model_gives_the_sizes_it_was_made_for(
    minilm: Path, tmp_path: Path, make_encoder: Callable[..., Runtime]
) -> None:
    config = json.loads((minilm / "config.json").read_bytes())
    prompts = {"query": "find: ", "passage": "text: "}
    folder = folders.changed(
        minilm,
        tmp_path / "m",
        config_json={**config, "matryoshka_dimensions": [64, 128]},
        config_sentence_transformers_json={"prompts": prompts, "default_prompt_name": None},
    )
    runtime = make_encoder(folder).start().ready()
    whole = embeddings(runtime, "hello")[0]
    for size in (64, 128, WIDTH):
        short = embeddings(runtime, "hello", dimensions=size)[0]
        assert short.shape == (size,)
        assert np.abs(short - whole[:size] / np.linalg.norm(whole[:size])).max() < 1e-6
    assert "64, 128" in refused(runtime.post(EMBED, {"input": "hello", "dimensions": 100}), "dimensions")
    by_cohere = good(runtime.post(EMBED_V2, {"texts": ["hello"], "output_dimension": 64}))["embeddings"]["float"]
    assert len(by_cohere[0]) == 64
    # Prompts of the model's own: by name, by purpose, and for rerank on each side.
    asked = embeddings(runtime, "hello", prompt_name="query")
    assert np.abs(asked - embeddings(runtime, "find: hello")).max() < 1e-6
    for purpose, prompt in (("search_query", "find: "), ("search_document", "text: "), ("clustering", "")):
        found = good(runtime.post(EMBED_V2, {"texts": ["hello"], "input_type": purpose}))["embeddings"]["float"]
        assert np.abs(found - embeddings(runtime, prompt + "hello")).max() < 1e-6
    assert "'query', 'passage'" in refused(runtime.post(EMBED, {"input": "a", "prompt_name": "x"}), "prompt_name")
    (pair,) = good(runtime.post("/score", {"text_1": "hello", "text_2": "world"}))["data"]
    both = embeddings(runtime, ["find: hello", "text: world"])
    assert abs(pair["score"] - cosines(both[0], both[1])) < 1e-5


def test_poolings_and_layers_of_the_folder(minilm: Path, tmp_path: Path, make_encoder: Callable[..., Runtime]) -> None:
    """cls and max joined, and a layer behind them: as numpy does it on the token vectors."""
    random_rows = np.random.default_rng(2)
    weight = random_rows.normal(0, 0.05, (16, 2 * WIDTH)).astype("<f4")
    header = json.dumps({"linear.weight": {"dtype": "F32", "shape": weight.shape, "data_offsets": [0, weight.nbytes]}})
    dense = len(header).to_bytes(8, "little") + header.encode() + weight.tobytes()
    kinds = ["Transformer", "Pooling", "Dense"]
    folder = folders.changed(
        minilm,
        tmp_path / "m",
        modules_json=[
            {"idx": index, "path": ["", "1_Pooling", "2_Dense"][index], "type": f"sentence_transformers.models.{kind}"}
            for index, kind in enumerate(kinds)
        ],
        **{
            "1_Pooling__config_json": {"pooling_mode_cls_token": True, "pooling_mode_max_tokens": True},
            "2_Dense__config_json": {"activation_function": "torch.nn.modules.activation.Tanh", "bias": False},
            "2_Dense__model_safetensors": dense,
        },
    )
    runtime = make_encoder(folder).start().ready()
    texts = ["hello world", "The cat sits on the mat, and stays."]
    rows = good(runtime.post(POOLING, {"input": texts, "task": "token_embed", "use_activation": False}))["data"]
    states = [np.array(row["data"], np.float32) for row in rows]
    expected = [np.tanh(weight @ np.concatenate([state[0], state.max(axis=0)])) for state in states]
    assert np.abs(embeddings(runtime, texts) - np.stack(expected)).max() < 1e-5
