from dataclasses import replace

import pytest

from moorage.core.facts import ModelFacts
from moorage.core.memory import (
    Footprint,
    Use,
    estimate,
    kv_bytes_per_sequence,
    kv_bytes_per_token,
    longest_call,
    shortage,
    window_tokens,
)

MIB = 1 << 20
SMOL = ModelFacts(
    path="/m.gguf", format="gguf", task="generate", architecture="llama", size_bytes=98_362_432, layers=30,
    parameters=134_515_008, quantization="Q4_1", embedding_length=576, heads=9, kv_heads=3, key_length=64,
    value_length=64, feed_forward_length=1536, vocabulary=49152,
)  # fmt: skip
GEMMA = replace(
    SMOL, architecture="gemma3", layers=18, embedding_length=640, heads=4, kv_heads=1, key_length=256, value_length=256,
    feed_forward_length=2048, vocabulary=262144, window=512, window_layers=15,
)  # fmt: skip
EIGHT = replace(
    SMOL, format="safetensors", size_bytes=16_060_522_496, parameters=8_030_261_248, quantization="BF16", layers=32,
    embedding_length=4096, heads=32, kv_heads=8, key_length=128, value_length=128, feed_forward_length=14336,
    vocabulary=128256,
)  # fmt: skip
PLAIN = Footprint(process_bytes=100 * MIB)
USE = Use(context=2048, sequences=1, step_tokens=256)


def test_grouped_heads_share_their_cache() -> None:
    # llama.cpp prints 45.00 MiB for 2,048 cells of SmolLM2-135M.
    assert kv_bytes_per_token(SMOL, USE) == 45 * MIB / 2048
    assert kv_bytes_per_token(replace(SMOL, kv_heads=None), USE) == 3 * 45 * MIB / 2048
    assert estimate(SMOL, PLAIN, replace(USE, sequences=4)).kv_bytes == 180 * MIB


@pytest.mark.parametrize(("dtype", "share"), [("q8_0", 34 / 64), ("q4_0", 18 / 64), ("f32", 2.0), ("fp8", 0.5)])
def test_the_cache_in_other_numbers(dtype: str, share: float) -> None:
    assert estimate(SMOL, PLAIN, replace(USE, kv_dtype=dtype)).kv_bytes == 45 * MIB * share


@pytest.mark.parametrize(
    "silent",
    [
        replace(SMOL, layers=None),
        replace(SMOL, layers=0),
        replace(SMOL, heads=None, kv_heads=None),
        replace(SMOL, heads=0, kv_heads=0),
        replace(SMOL, key_length=None),
        replace(SMOL, kv_layers=0),
        replace(SMOL, latent_length=576, layers=None),
    ],
)
def test_a_silent_file_is_unknown(silent: ModelFacts) -> None:
    assert kv_bytes_per_token(silent, USE) is None
    need = estimate(silent, PLAIN, USE)
    assert need.kv_bytes == 0
    assert need.total_bytes >= need.weights_bytes > 0


def test_a_file_that_says_nothing_at_all() -> None:
    nothing = ModelFacts(path="/m", format="gguf", task="generate", architecture="unknown", size_bytes=0)
    need = estimate(nothing, PLAIN, replace(USE, tensor_parallel=2, pipeline_parallel=2, quantization="int8"))
    assert (need.weights_bytes, need.kv_bytes, need.compute_bytes) == (0, 0, 0)


def test_absurd_numbers_are_only_large() -> None:
    absurd = replace(
        SMOL, layers=1 << 60, heads=1 << 60, kv_heads=1 << 60, key_length=1 << 60, value_length=1 << 60, window=1 << 60,
        window_layers=1 << 61, embedding_length=1 << 60, feed_forward_length=1 << 60, vocabulary=1 << 60,
    )  # fmt: skip
    for window in ("kept", "step", "blocks"):
        footprint = replace(PLAIN, inner=3, embedding=5, scores=2, mask_bytes=2, vocabulary_bytes=99, window=window)
        need = estimate(absurd, footprint, replace(USE, tensor_parallel=64, pipeline_parallel=64, on_device=True))
        assert need.total_bytes > 1 << 60
        assert min(need.weights_bytes, need.kv_bytes, need.compute_bytes, need.host_bytes) >= 0


def test_layers_with_a_window_keep_only_that() -> None:
    llama = replace(PLAIN, window="step", window_multiple=256)
    # llama.cpp prints 24.00 MiB for 3 layers of 8,192 cells, and 11.25 MiB for 15 layers of 768.
    use = replace(USE, context=8192)
    assert window_tokens(GEMMA, llama, use) == 768
    assert estimate(GEMMA, llama, use).kv_bytes == (24 + 11.25) * MIB
    # With steps of 1,024 tokens 1,536 cells; and never more than the context.
    assert window_tokens(GEMMA, llama, replace(use, step_tokens=1024)) == 1536
    assert window_tokens(GEMMA, llama, replace(use, context=512)) == 512
    assert estimate(GEMMA, PLAIN, use).kv_bytes == 8 * 18 * MIB


def test_one_more_token_where_windows_are_kept_whole() -> None:
    assert kv_bytes_per_token(GEMMA, USE, replace(PLAIN, window="step")) == 3 * 512 * 2
    assert kv_bytes_per_token(GEMMA, USE, PLAIN) == 18 * 512 * 2


def test_windows_in_blocks_as_vllm_counts_them() -> None:
    # vLLM 0.32 on a processor: 0.5 GiB hold 25.75 calls of 1,024 tokens of Gemma 3 270M, in blocks of 128.
    vllm = replace(PLAIN, window="blocks", block_tokens=128)
    need = estimate(GEMMA, vllm, replace(USE, context=1024, step_tokens=1024, kv_dtype="bf16"))
    assert 512 * MIB / need.kv_bytes_per_sequence == pytest.approx(25.75, rel=0.001)


@pytest.mark.parametrize("window", ["kept", "step", "blocks"])
@pytest.mark.parametrize("facts", [SMOL, GEMMA, EIGHT])
@pytest.mark.parametrize("room_mib", [20, 200, 20_000])
def test_the_longest_call_fills_the_room(facts: ModelFacts, window: str, room_mib: int) -> None:
    footprint = replace(PLAIN, window=window, block_tokens=16)
    tokens = longest_call(facts, footprint, USE, room_mib * MIB)
    assert tokens is not None

    def taken(context: int) -> int:
        return kv_bytes_per_sequence(facts, footprint, replace(USE, context=context))

    assert taken(tokens // 2) <= room_mib * MIB
    assert taken(2 * tokens + 2048) > room_mib * MIB


def test_a_call_may_be_of_any_length_where_all_layers_have_a_window() -> None:
    sliding = replace(GEMMA, window_layers=18)
    assert longest_call(sliding, replace(PLAIN, window="step"), USE, MIB) is None
    assert longest_call(replace(SMOL, layers=None), PLAIN, USE, MIB) is None
    assert longest_call(SMOL, PLAIN, USE, -5) == 0


def test_hybrid_models_keep_keys_in_some_layers() -> None:
    assert kv_bytes_per_token(replace(SMOL, kv_layers=10), USE) == 15 * MIB / 2048


def test_compressed_keys_and_values_are_one_vector_of_all_heads() -> None:
    # DeepSeek-V3: 61 layers of 512 + 64 numbers, on each rank.
    deep = replace(EIGHT, layers=61, latent_length=576, heads=128, kv_heads=128)
    assert kv_bytes_per_token(deep, USE) == 61 * 576 * 2
    assert kv_bytes_per_token(deep, replace(USE, tensor_parallel=8)) == 61 * 576 * 2


def test_the_cache_comes_in_blocks() -> None:
    paged = replace(PLAIN, block_tokens=32)
    assert estimate(SMOL, paged, replace(USE, context=33)).kv_bytes == 64 * 45 * MIB / 2048
    pooled = estimate(SMOL, paged, replace(USE, sequences=8, pool_bytes=90 * MIB))
    assert (pooled.kv_bytes, pooled.kv_least_bytes) == (90 * MIB, 45 * MIB)
    assert pooled.kv_bytes // pooled.kv_bytes_per_token == 4096
    assert pooled.total_bytes - pooled.least_bytes == 45 * MIB
    assert estimate(SMOL, paged, replace(USE, pool_bytes=-5)).kv_bytes == 0


def test_cards_share_layers_and_heads() -> None:
    device = replace(PLAIN, device_bytes=500 * MIB, graph_bytes=100 * MIB, rank_bytes=10 * MIB)
    use = replace(USE, on_device=True)
    one, two, eight, sixteen = (estimate(EIGHT, device, replace(use, tensor_parallel=n)) for n in (1, 2, 8, 16))
    assert two.weights_bytes == one.weights_bytes // 2
    assert (two.kv_bytes, eight.kv_bytes) == (one.kv_bytes // 2, one.kv_bytes // 8)
    assert sixteen.kv_bytes == eight.kv_bytes, "a head of keys cannot be cut: further ranks hold copies"
    assert (one.devices, two.devices) == (1, 2)
    assert two.process_bytes == 500 * MIB
    assert estimate(EIGHT, device, replace(use, graphs=True)).process_bytes == 600 * MIB
    assert (two.processor_bytes, two.host_bytes) == (120 * MIB, 120 * MIB)


def test_stages_hold_their_layers_and_the_first_the_embedding() -> None:
    use = replace(USE, on_device=True, pipeline_parallel=2)
    one, two = estimate(EIGHT, PLAIN, replace(use, pipeline_parallel=1)), estimate(EIGHT, PLAIN, use)
    table = 128256 * 4096 * 2
    assert two.weights_bytes == pytest.approx((one.weights_bytes - table) / 2 + table, rel=0.001)
    assert two.kv_bytes == one.kv_bytes // 2
    three = estimate(EIGHT, PLAIN, replace(use, pipeline_parallel=3))
    assert three.weights_bytes > one.weights_bytes / 3, "32 layers on three stages: one holds 11"


def test_copies_take_devices_of_their_own() -> None:
    use = replace(USE, on_device=True, tensor_parallel=2, data_parallel=2)
    need = estimate(EIGHT, PLAIN, use)
    assert need.devices == 4
    assert need.weights_bytes == estimate(EIGHT, PLAIN, replace(use, data_parallel=1)).weights_bytes


def test_ranks_on_the_processor_add_up() -> None:
    one, two = (estimate(EIGHT, PLAIN, replace(USE, data_parallel=n)) for n in (1, 2))
    assert two.weights_bytes == 2 * one.weights_bytes
    assert two.devices == 0


def test_weights_read_into_other_numbers() -> None:
    def weights(**fields: str) -> float:
        return estimate(EIGHT, PLAIN, replace(USE, **fields)).weights_bytes / EIGHT.size_bytes

    assert weights(dtype="float32") == pytest.approx(2.0)
    assert weights(dtype="float16") == pytest.approx(1.0)
    assert 0.5 < weights(quantization="int8") < 0.55
    assert 0.5 < weights(quantization="fp8") < weights(quantization="int8")
    assert 0.25 < weights(quantization="int4") < 0.35
    assert weights(quantization="awq") == 1.0
    assert estimate(SMOL, PLAIN, replace(USE, dtype="float32")).weights_bytes == SMOL.size_bytes, "a GGUF is as it is"


def test_weights_left_in_the_processors_memory() -> None:
    use = replace(USE, on_device=True, tensor_parallel=2)
    whole, less = (estimate(EIGHT, PLAIN, replace(use, offload_bytes=size)) for size in (0, 4 << 30))
    assert whole.weights_bytes - less.weights_bytes == 4 << 30
    assert less.host_bytes - whole.host_bytes == 8 << 30
    assert estimate(EIGHT, PLAIN, replace(use, offload_bytes=1 << 50)).weights_bytes == 0


def test_a_step_of_an_encoder_looks_from_every_token_to_every_token() -> None:
    encoder = replace(SMOL, task="embed", heads=12, embedding_length=768)
    footprint = replace(PLAIN, embedding=16, scores=2)
    need = estimate(encoder, footprint, Use(context=512, sequences=8, step_tokens=1024, cached=False))
    assert need.compute_bytes == 1024 * (16 * 768 + 2 * 12 * 512) * 4
    assert need.kv_bytes == 0


def test_what_there_is_too_little_of() -> None:
    gib = 1 << 30
    here = estimate(EIGHT, PLAIN, USE)
    assert shortage(here, 32 * gib, 0) == ""
    assert "may use 9.0 GB of this machine" in shortage(here, 10 * gib, 0)
    card = estimate(EIGHT, PLAIN, replace(USE, on_device=True))
    assert shortage(card, 32 * gib, 24 * gib) == ""
    assert "may use 12.0 GB" in shortage(card, 32 * gib, 12 * gib)
    pooled = estimate(EIGHT, PLAIN, replace(USE, on_device=True, context=32768, pool_bytes=gib))
    assert "options.max_model_len" in shortage(pooled, 32 * gib, 24 * gib)
    assert shortage(None, 0, 0) == ""
    assert shortage(here, 0, 0)


def test_prompts_that_are_kept_do_not_keep_a_model_from_starting() -> None:
    need = estimate(SMOL, PLAIN, replace(USE, cache_bytes=1 << 40))
    assert shortage(need, 1 << 30, 0) == ""
