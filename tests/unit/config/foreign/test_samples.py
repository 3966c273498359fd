"""Every key of every sample, and of every format's full list, is honoured, mapped, or named with a reason."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moorage.config.foreign.converted import Converted
from moorage.config.foreign.formats import FORMATS, NATIVE, detect
from moorage.config.foreign.writing import as_yaml
from moorage.config.load import Loaded, load
from moorage.config.options import Path as KeyPath
from moorage.config.plain import at, is_list, is_section
from moorage.config.reading import read_document

SAMPLES = Path(__file__).parents[3] / "data" / "foreign"
ENVIRONMENT = {"HOME": "/home/someone"}

EXPECTED = {
    "gateway-config.yaml": ("moorage.yaml", 15, 0, 42),
    "mistralrs.toml": ("mistral.rs's TOML", 7, 21, 10),
    "model-deploy-config.yaml": ("a model-deploy-config.yaml", 16, 9, 5),
    "models.json": ("the models.json of a unified service", 13, 19, 1),
    "multi-model.json": ("mistral.rs's multi-model JSON", 0, 10, 2),
    "vllm-flags.yaml": ("vLLM's --config file", 2, 20, 1),
    "vllm_config.yaml": ("a vllm_config.yaml", 11, 21, 7),
}
"""Title of the format; how many keys that hold a value are honoured, mapped, warned of."""


def keys(data: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    entries = data.items() if is_section(data) else enumerate(data) if is_list(data) else ()
    for name, value in entries:
        if isinstance(name, str):
            yield (*path, name)
        yield from keys(value, (*path, name))


def converted(data: Any, suffix: str = "") -> Converted:
    return detect(data, suffix).convert(data)


def without_note(data: Any, found: Converted) -> list[KeyPath]:
    noted = {note.key for note in found.notes}
    return [key for key in keys(data) if key not in noted]


@pytest.mark.parametrize("name", sorted(path.name for path in SAMPLES.iterdir()))
def test_every_key_of_a_sample_has_its_note(name: str) -> None:
    data = read_document(SAMPLES / name).data
    found = converted(data, Path(name).suffix)
    assert without_note(data, found) == []
    assert not [note for note in found.notes if note.kind == "refused"]
    assert not [note for note in found.notes if note.kind == "warned" and not note.why]
    for note in found.notes:
        if note.into is not None:
            assert at(found.tree, note.into) is not None, note


@pytest.mark.parametrize("name", sorted(path.name for path in SAMPLES.iterdir()))
def test_a_sample_is_used_as_it_is(name: str) -> None:
    loaded = load(SAMPLES / name, environ=ENVIRONMENT)
    title = EXPECTED[name][0]
    assert loaded.format.title == title
    assert [f"is read as {title}" in notice for notice in loaded.notices] == [True] * loaded.format.foreign
    for model in loaded.config.models.local:
        assert model.engine in ("auto", "vllm")


@pytest.mark.parametrize("name", sorted(path.name for path in SAMPLES.iterdir()))
def test_what_is_written_says_the_same(name: str, tmp_path: Path) -> None:
    first = load(SAMPLES / name, environ=ENVIRONMENT)
    again = written(first, tmp_path)
    assert again.format is NATIVE
    assert again.config == first.config
    assert without_note(read_document(tmp_path / "moorage.yaml").data, again.converted or Converted({}, ())) == []


def written(first: Loaded, folder: Path) -> Loaded:
    assert first.converted is not None
    text = as_yaml(first.converted, first.said, "x", first.format.title)
    (folder / "moorage.yaml").write_text(text, encoding="utf-8")
    return load(folder / "moorage.yaml", environ=ENVIRONMENT)


def test_the_unified_sample() -> None:
    config = load(SAMPLES / "models.json", environ=ENVIRONMENT).config
    chat, embedding, rerank = config.models.local
    assert [(m.name, m.task, m.port, m.start_timeout) for m in config.models.local] == [
        ("Qwen3-8B", "generate", 8001, 300.0),
        ("bge-m3", "embed", 8002, 300.0),
        ("bge-reranker-v2-m3", "rerank", 8003, 300.0),
    ]
    assert (chat.source, chat.options.memory_fraction, chat.options.max_model_len) == ("/models/chat", 0.55, 16384)
    assert (chat.options.dtype, embedding.options.dtype, rerank.options.dtype) == ("bfloat16", "float16", "auto")
    assert rerank.options.devices == ("0",)
    assert config.server.port == 8000


def test_the_deployment_sample() -> None:
    config = load(SAMPLES / "model-deploy-config.yaml", environ=ENVIRONMENT).config
    (model,) = config.models.local
    assert (model.max_output_tokens, model.options.max_model_len, model.options.max_sequences) == (2048, 8192, 16)
    assert (model.options.quantization, model.options.dtype, model.options.kv_cache_dtype) == (
        "int8",
        "bfloat16",
        "f16",
    )
    assert model.options.rope_scaling is not None
    assert (model.options.rope_scaling.type, model.options.rope_scaling.factor) == ("dynamic", 2.0)
    assert (model.options.devices, model.options.attention_backend) == (("0",), None)
    assert config.cache_dir == Path("/cache")


def test_the_multi_model_sample() -> None:
    loaded = load(SAMPLES / "multi-model.json", environ=ENVIRONMENT)
    assert [(m.name, m.source, m.task) for m in loaded.config.models.local] == [
        ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B", "generate"),
        ("Qwen/Qwen3-4B", "Qwen/Qwen3-4B-GGUF:Qwen3-4B-Q4_K_M.gguf", "generate"),
        ("google/embeddinggemma-300m", "google/embeddinggemma-300m", "embed"),
    ]
    assert [m.options.quantization for m in loaded.config.models.local] == ["int8", "none", "none"]
    assert loaded.warnings == (
        f"{SAMPLES / 'multi-model.json'}:5: drawing: images are not made in this version: the model is left out",
    )


def test_the_gateway_sample() -> None:
    loaded = load(SAMPLES / "gateway-config.yaml", environ=ENVIRONMENT)
    config = loaded.config
    assert (config.server.port, config.server.request_timeout, config.server.max_request_size) == (8080, 30.0, 10 << 20)
    assert (config.logging.output, config.logging.format, config.workers.queue_size) == ("stdout", "json", 1000)
    told = "\n".join(loaded.warnings)
    assert ":8: database: without effect in this version: no accounts and no usage are kept" in told
    assert "auth.jwt_secret, auth.token_expiry, auth.refresh_token_expiry: without effect" in told
    assert "models.providers[0], models.providers[1]: without effect" in told
    assert "the endpoint is of an old Jaeger collector" in told
    assert "grpc_tls" not in told


@pytest.mark.parametrize("name", EXPECTED)
def test_how_many_keys_of_a_sample_have_which_note(name: str) -> None:
    data = read_document(SAMPLES / name).data
    found = {note.key: note.kind for note in reversed(converted(data, Path(name).suffix).notes)}
    values = [key for key in keys(data) if not any(True for _ in keys(at(data, key)))]
    kinds = Counter(found[key] for key in values)
    assert (kinds["honoured"], kinds["mapped"], kinds["warned"]) == EXPECTED[name][1:]


def test_the_guide_tells_these_numbers() -> None:
    guide = (Path(__file__).parents[4] / "docs" / "guides" / "foreign-files.md").read_text(encoding="utf-8")
    for name, (_, *counts) in EXPECTED.items():
        assert f"| `{name}` | {' | '.join(map(str, counts))} |" in guide


def test_every_format_has_a_sample() -> None:
    assert {row[0] for row in EXPECTED.values()} == {one.title for one in FORMATS}
