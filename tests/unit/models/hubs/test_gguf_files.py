import pytest

from moorage.models.hubs.gguf_files import PREFERENCE, is_model, variants


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "Q4_1"),
        ("Meta-Llama-3-8B-Instruct-Q4_K_M.gguf", "Q4_K_M"),
        ("model-q8_0.gguf", "Q8_0"),
        ("Phi-3-mini-4k-instruct-q4.gguf", "Q4"),
        ("Phi-3-mini-4k-instruct-fp16.gguf", "FP16"),
        ("Qwen3-0.6B-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"),
        ("gpt-oss-20b-mxfp4.gguf", "MXFP4"),
        ("x.i1-IQ3_XXS.gguf", "IQ3_XXS"),
        ("Q6_K/model-00001-of-00001.gguf", "Q6_K"),
        ("BF16/Big-BF16-00001-of-00001.gguf", "BF16"),
        ("q8-team/model.gguf", "Q8"),
        ("tiny.gguf", ""),
        ("aq4_k_m.gguf", ""),
    ],
)
def test_the_quantisation_is_read_from_the_name(path: str, label: str) -> None:
    (variant,) = variants([path])
    assert variant.label == label


def test_projectors_and_importance_matrices_are_no_models() -> None:
    for path in (
        "mmproj-F16.gguf",
        "m.mmproj-Q8_0.gguf",
        "a/mmproj.gguf",
        "imatrix_x.gguf",
        "config.json",
        "m.gguf.part",
    ):
        assert not is_model(path)
    assert is_model("M.GGUF")


def test_parts_make_one_model_only_when_all_are_there() -> None:
    parts = [f"m-Q4_K_M-{number:05}-of-00003.gguf" for number in (3, 1, 2)]
    (whole,) = variants(parts)
    assert whole.complete
    assert whole.paths == tuple(sorted(parts))
    (lacking,) = variants(parts[:2])
    assert not lacking.complete
    assert len(variants([*parts, "m-Q4_K_M.gguf"])) == 2


def test_the_preference_is_an_order_over_all_labels() -> None:
    listed = [label for _, labels in PREFERENCE for label in labels]
    assert len(listed) == len(set(listed))
    found = [variant.label for variant in variants(f"m-{label}.gguf" for label in reversed(listed))]
    assert found == listed
    few = variants(
        ["m-Q3_K_M.gguf", "m-F16.gguf", "m-UD-Q6_K.gguf", "m-Q6_K.gguf", "m-Q8_0.gguf", "m-IQ1_S.gguf", "m.gguf"]
    )
    assert [each.label for each in few] == ["Q6_K", "UD-Q6_K", "Q8_0", "F16", "Q3_K_M", "", "IQ1_S"]
