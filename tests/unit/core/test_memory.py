from dataclasses import replace

from moorage.core.facts import ModelFacts
from moorage.core.memory import estimate, kv_bytes_per_token

SMOL = ModelFacts(
    path="/m.gguf", format="gguf", task="generate", architecture="llama", size_bytes=98_362_432, layers=30,
    embedding_length=576, heads=9, kv_heads=3, key_length=64, value_length=64, vocabulary=49152,
)  # fmt: skip
MIB = 1 << 20


def test_grouped_heads_share_their_cache() -> None:
    # llama.cpp prints 45.00 MiB for 2,048 cells of SmolLM2-135M.
    assert kv_bytes_per_token(SMOL) == 45 * MIB / 2048
    assert kv_bytes_per_token(replace(SMOL, kv_heads=None)) == 3 * 45 * MIB / 2048


def test_quantised_caches_are_smaller() -> None:
    assert kv_bytes_per_token(SMOL, "q8_0") == 30 * 3 * 128 * 34 // 32
    assert kv_bytes_per_token(SMOL, "q4_0") == 30 * 3 * 128 * 18 // 32


def test_a_silent_file_is_unknown() -> None:
    assert kv_bytes_per_token(replace(SMOL, layers=None)) is None
    assert estimate(replace(SMOL, layers=None), context_tokens=100, step_tokens=1).kv_bytes == 0


def test_the_sum_is_near_what_was_measured() -> None:
    # 364 MiB resident with 4 slots of 2,048 tokens, 900 MiB with 4 of 8,192: an estimate may be above, not below.
    for context, measured in ((8192, 364), (32768, 900)):
        need = estimate(SMOL, context_tokens=context, step_tokens=256)
        assert measured * MIB <= need.total_bytes <= 1.35 * measured * MIB
