"""What layers keep of a token, as config.json and GGUF headers of published models say it."""

from pathlib import Path
from typing import Any

import pytest

from moorage.models.files.attention import Kept, inner, of_config, of_gguf, sliding_of
from moorage.models.files.document import Document


def config(**values: Any) -> Document:
    return Document(Path("config.json"), values)


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ({"model_type": "llama"}, Kept()),
        ({"model_type": "mistral", "sliding_window": 4096}, Kept(window=4096, window_layers=24)),
        ({"model_type": "mistral", "sliding_window": None}, Kept()),
        ({"model_type": "qwen2", "sliding_window": 32768, "use_sliding_window": False}, Kept()),
        ({"model_type": "gemma2", "sliding_window": 4096}, Kept(window=4096, window_layers=12)),
        (
            {"model_type": "gemma3_text", "sliding_window": 512, "_sliding_window_pattern": 6},
            Kept(window=512, window_layers=20),
        ),
        (
            {"sliding_window": 128, "layer_types": ["sliding_attention", "full_attention"] * 12},
            Kept(window=128, window_layers=12),
        ),
        (
            {"layer_types": ["linear_attention", "linear_attention", "linear_attention", "full_attention"] * 6},
            Kept(layers=6),
        ),
        ({"layer_types": [1, 2], "sliding_window": 9}, Kept()),
        ({"model_type": "qwen3_next", "full_attention_interval": 4}, Kept(layers=6)),
        ({"model_type": "deepseek_v3", "kv_lora_rank": 512, "qk_rope_head_dim": 64}, Kept(latent_length=576)),
        ({"model_type": "unheard-of", "sliding_window": 100}, Kept()),
        ({"model_type": "gemma3_text", "sliding_window": 0}, Kept()),
    ],
)
def test_config(values: dict[str, Any], kept: Kept) -> None:
    assert of_config(config(**values), 24) == kept


@pytest.mark.parametrize(
    ("architecture", "values", "kept"),
    [
        ("llama", {}, Kept()),
        ("gemma3", {"attention.sliding_window": 512}, Kept(window=512, window_layers=20)),
        ("llama", {"attention.sliding_window": 512}, Kept()),
        (
            "new",
            {"attention.sliding_window": 64, "attention.sliding_window_pattern": (True, False)},
            Kept(window=64, window_layers=12),
        ),
        (
            "new",
            {"attention.sliding_window": 64, "attention.sliding_window_pattern": 4},
            Kept(window=64, window_layers=18),
        ),
        ("new", {"attention.sliding_window": 64, "attention.sliding_window_pattern": ()}, Kept()),
        ("jamba", {"attention.head_count_kv": (0, 0, 8) * 8}, Kept(layers=8)),
        ("qwen3next", {"full_attention_interval": 4}, Kept(layers=6)),
        ("deepseek2", {"attention.kv_lora_rank": 512}, Kept()),
        (
            "deepseek2",
            {"attention.kv_lora_rank": 512, "attention.key_length_mla": 192, "rope.dimension_count": 64},
            Kept(latent_length=576),
        ),
        ("gemma3", {"attention.sliding_window": "wide"}, Kept()),
    ],
)
def test_gguf(architecture: str, values: dict[str, Any], kept: Kept) -> None:
    assert of_gguf(architecture, {f"{architecture}.{key}": value for key, value in values.items()}, 24) == kept


@pytest.mark.parametrize(
    ("layers", "period", "sliding"), [(None, 6, 0), (18, None, 0), (18, 6, 15), (20, 6, 17), (18, 1, 0), (18, 0, 18)]
)
def test_one_layer_in_so_many_has_no_window(layers: int | None, period: int | None, sliding: int) -> None:
    assert sliding_of(layers, period) == sliding


def test_the_widest_inner_layer() -> None:
    assert inner(4096, None, None) == 4096
    assert inner(4096, 1408, 8) == 11264
    assert inner(None, None, None) is None


@pytest.mark.parametrize("layers", [None, 0, 1 << 60])
def test_absurd_counts_of_layers(layers: int | None) -> None:
    pattern = {"x.attention.sliding_window": 64, "x.attention.sliding_window_pattern": (True, False)}
    assert of_gguf("x", pattern, layers).window in (None, 64)
    assert of_config(config(model_type="gemma3_text", sliding_window=512), layers).window in (None, 512)
