"""Whisper as Hugging Face keeps it: safetensors, and the languages its settings name."""

from pathlib import Path

import pytest

from moorage.models.files import facts
from tests.unit.models.files.small_files import bert, safetensors

CONFIG = {
    "architectures": ["WhisperForConditionalGeneration"],
    "model_type": "whisper",
    "d_model": 384,
    "encoder_layers": 4,
    "decoder_layers": 2,
    "encoder_attention_heads": 6,
    "max_target_positions": 448,
    "max_length": 448,
    "vocab_size": 51865,
}


@pytest.mark.parametrize(
    ("vocabulary", "files", "languages"),
    [
        (51865, {"generation_config.json": {"lang_to_id": {"<|en|>": 50259, "<|de|>": 50261}}}, ("en", "de")),
        (51865, {"added_tokens.json": {"<|en|>": 50259, "<|haw|>": 3, "<|translate|>": 5}}, ("en", "haw")),
        (51865, {"generation_config.json": {"is_multilingual": False}}, ("en",)),
        (51865, {}, ()),
        (51864, {}, ("en",)),
        (51864, {"added_tokens.json": {"<|en|>": 1, "<|de|>": 2}}, ("en",)),
    ],
)
def test_languages(tmp_path: Path, vocabulary: int, files: dict[str, object], languages: tuple[str, ...]) -> None:
    weights = safetensors({"model.encoder.conv1.weight": ("F16", (8, 3))})
    config = {**CONFIG, "vocab_size": vocabulary}
    found = facts(bert(tmp_path, config, {"model.safetensors": weights, **files}))
    assert (found.format, found.task, found.languages) == ("safetensors", "transcribe", languages)
    assert (found.context_length, found.layers, found.heads, found.embedding_length) == (448, 4, 6, 384)
    assert (found.vocabulary, found.quantization) == (vocabulary, "F16")
