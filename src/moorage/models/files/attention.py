"""What the layers of a text model keep of every token: told by config.json or by the header of a GGUF file."""

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from moorage.errors import ModelError
from moorage.models.files.document import Document

_PERIODS = {
    "cohere2": 4,
    "exaone4": 4,
    "gemma-embedding": 6,
    "gemma2": 2,
    "gemma3": 6,
    "gemma3_text": 6,
    "gemma3n": 5,
    "gemma3n_text": 5,
    "gpt-oss": 2,
    "gpt_oss": 2,
    "plamo3": 8,
}
"""Where neither file says which layers have a window: of so many, all but the last (llama.cpp, set_swa_pattern)."""
_ALL_LAYERS = frozenset({"mistral", "mixtral", "phi3", "starcoder2"})
"""Families whose window, where config.json has one, is that of every layer."""
_NO_KEYS = frozenset({"linear_attention", "mamba", "conv", "recurrent"})
"""Kinds of layers that keep one state of a sequence, however long it is."""


class Kept(NamedTuple):
    """None for what the files do not say, or where there is no such thing."""

    layers: int | None = None
    """Layers that keep keys and values, where some keep none."""
    window: int | None = None
    window_layers: int | None = None
    latent_length: int | None = None


def of_config(text: Document, layers: int | None) -> Kept:
    """`text` holds the settings of the language model. Raises ModelError."""
    latent = text.number("kv_lora_rank")
    if latent:
        return Kept(latent_length=latent + (text.number("qk_rope_head_dim") or 0))
    kinds = _kinds(text)
    if kinds:
        kept = sum(kind not in _NO_KEYS for kind in kinds)
        sliding = sum("sliding" in kind or "chunked" in kind for kind in kinds)
        return _windowed(_window(text), sliding)._replace(layers=kept if kept < len(kinds) else None)
    if interval := text.number("full_attention_interval"):
        return Kept(layers=layers // interval if layers else None)
    family = text.text("model_type") or ""
    if text.values.get("use_sliding_window") is False:
        return Kept()
    period = text.number("sliding_window_pattern", "_sliding_window_pattern") or _PERIODS.get(family)
    if family in _ALL_LAYERS:
        period = 0
    return _windowed(_window(text), sliding_of(layers, period))


def of_gguf(architecture: str, values: Mapping[str, Any], layers: int | None) -> Kept:
    def whole(key: str) -> int | None:
        value = values.get(f"{architecture}.{key}")
        return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None

    if latent := whole("attention.kv_lora_rank"):
        if whole("attention.key_length_mla"):
            return Kept(latent_length=latent + (whole("rope.dimension_count") or 0))
        return Kept()  # converted in the older way: kept as whole keys and values
    heads = values.get(f"{architecture}.attention.head_count_kv")
    each = cast("tuple[int, ...]", heads) if isinstance(heads, tuple) else ()
    kept = sum(bool(count) for count in each)
    if each and kept < len(each):
        return Kept(layers=kept)
    if interval := whole("full_attention_interval"):
        return Kept(layers=layers // interval if layers else None)
    pattern = values.get(f"{architecture}.attention.sliding_window_pattern")
    if isinstance(pattern, tuple):
        flags = cast("tuple[int, ...]", pattern)
        sliding = sum(bool(flags[layer % len(flags)]) for layer in range(min(layers or 0, 1 << 16))) if flags else 0
    else:
        period = whole("attention.sliding_window_pattern") or _PERIODS.get(architecture)
        sliding = sliding_of(layers, period)
    return _windowed(whole("attention.sliding_window"), sliding)


def sliding_of(layers: int | None, period: int | None) -> int:
    """Layers with a window where every `period`-th has none; of 0 all have it, of None nobody knows and none has."""
    if layers is None or period is None or period == 1:
        return 0
    return layers - layers // period if period else layers


def inner(width: int | None, expert: int | None, used: int | None) -> int | None:
    """Width of the widest inner layer of a token, of experts together."""
    return max(width or 0, (expert or 0) * (used or 0)) or None


def _window(text: Document) -> int | None:
    return text.number("sliding_window", "attention_chunk_size", "window_size")


def _windowed(window: int | None, layers: int) -> Kept:
    return Kept(window=window, window_layers=layers) if window and layers else Kept()


def _kinds(text: Document) -> tuple[str, ...]:
    if not isinstance(text.values.get("layer_types"), list):
        return ()
    try:
        return text.texts("layer_types")
    except ModelError:
        return ()  # a list of something else is a model's own affair
