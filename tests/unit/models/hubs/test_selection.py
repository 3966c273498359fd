import pytest

from moorage.errors import ModelError
from moorage.models.hubs.selection import choose

TOKENIZER = ["config.json", "tokenizer.json", "tokenizer_config.json"]
NOISE = [
    ".gitattributes",
    "a.png",
    "flax_model.msgpack",
    "tf_model.h5",
    "rust_model.ot",
    "original/consolidated.00.pth",
]
ONNX = ["onnx/model.onnx", "onnx/model.onnx_data", "onnx/model_fp16.onnx", "onnx/model_quantized.onnx"]
OPENVINO = ["openvino/openvino_model.xml", "openvino/openvino_model.bin", "openvino/openvino_config.json"]


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        (["model.safetensors", "pytorch_model.bin", *ONNX, *OPENVINO], ["model.safetensors"]),
        (["model.safetensors", "model.fp16.safetensors"], ["model.safetensors"]),
        (["consolidated.safetensors", "weights.safetensors"], ["weights.safetensors"]),
        (["consolidated.safetensors"], ["consolidated.safetensors"]),
        (["adapter_model.safetensors"], ["adapter_model.safetensors"]),
        (["model.bin", "vocabulary.txt"], ["model.bin", "vocabulary.txt"]),
        (ONNX, ["onnx/model.onnx", "onnx/model.onnx_data"]),
        (["model.onnx", "model_int8.onnx"], ["model.onnx"]),
        (["onnx/model_uint8.onnx", "onnx/model_quantized.onnx"], ["onnx/model_quantized.onnx"]),
        (["onnx/decoder.onnx", "onnx/encoder.onnx"], ["onnx/decoder.onnx", "onnx/encoder.onnx"]),
        (OPENVINO, OPENVINO[:2]),
        (["openvino_model.xml", "openvino_model.bin"], ["openvino_model.bin", "openvino_model.xml"]),
        (["pytorch_model.bin", "training_args.bin"], ["pytorch_model.bin"]),
        (
            ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin", "pytorch_model.bin.index.json"],
            ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin", "pytorch_model.bin.index.json"],
        ),
        (["tiny.en.pt"], ["tiny.en.pt"]),
        (["model.safetensors", "chat_template.jinja", "LICENSE", "modeling_x.py", "tokenizer.model"],
         ["LICENSE", "chat_template.jinja", "model.safetensors", "modeling_x.py", "tokenizer.model"]),
        (["model.safetensors", "1_Pooling/config.json", "2_Dense/pytorch_model.bin", "2_Dense/config.json"],
         ["model.safetensors", "1_Pooling/config.json", "2_Dense/pytorch_model.bin", "2_Dense/config.json"]),
    ],
)  # fmt: skip
def test_one_format_with_what_belongs_to_it(there: list[str], taken: list[str]) -> None:
    choice = choose([*there, *TOKENIZER, *NOISE])
    assert choice.paths == tuple(sorted([*taken, *TOKENIZER]))
    assert choice.opens == ""


def test_gguf_comes_alone_and_before_all_else() -> None:
    choice = choose(["m-Q8_0.gguf", "m-Q5_K_M.gguf", "mmproj.gguf", "model.safetensors", *TOKENIZER])
    assert choice.paths == ("m-Q5_K_M.gguf",)
    assert choice.opens == "m-Q5_K_M.gguf"
    assert choice.why == "m-Q5_K_M.gguf: Q5_K_M, the nearest k-quant of 4 to 8 bits; also there: Q8_0"


def test_shards_by_their_index_or_else_by_their_names() -> None:
    index = "model.safetensors.index.json"
    shards = [f"model-{number:05}-of-00002.safetensors" for number in (1, 2)]
    assert choose([index, *shards, "config.json"]).paths == tuple(sorted(["config.json", index, *shards]))
    assert choose([index, *shards, "a.safetensors"], shards={index: ["a.safetensors"]}).paths == (
        "a.safetensors",
        index,
    )
    for missing in ({index: ["gone.safetensors"]}, None):
        with pytest.raises(ModelError, match="the repository lacks"):
            choose([index, shards[0]], shards=missing)


@pytest.mark.parametrize(
    ("selector", "paths", "opens"),
    [
        ("onnx", ["config.json", *ONNX[:2]], "onnx/model.onnx"),
        ("quantized", ["config.json", "onnx/model_quantized.onnx"], "onnx/model_quantized.onnx"),
        ("FP16", ["config.json", "onnx/model_fp16.onnx"], "onnx/model_fp16.onnx"),
        ("onnx/model.onnx", ["config.json", *ONNX[:2]], "onnx/model.onnx"),
        ("openvino", ["config.json", *OPENVINO[:2]], "openvino/openvino_model.xml"),
        ("openvino/openvino_model.xml", ["config.json", *OPENVINO[:2]], "openvino/openvino_model.xml"),
        ("model.safetensors", ["config.json", "model.safetensors"], ""),
        ("sub", ["sub/config.json", "sub/model.safetensors", "sub/tokenizer.json"], "sub"),
        ("speech.wav", ["speech.wav"], "speech.wav"),
        ("sample.wav", ["samples/sample.wav"], "samples/sample.wav"),
    ],
)
def test_selectors(selector: str, paths: list[str], opens: str) -> None:
    sub = ["sub/config.json", "sub/model.safetensors", "sub/tokenizer.json", "sub/a.png"]
    there = ["config.json", "model.safetensors", "speech.wav", "samples/sample.wav", *ONNX, *OPENVINO, *sub]
    choice = choose(there, selector)
    assert (choice.paths, choice.opens) == (tuple(sorted(paths)), opens)


def test_a_folder_of_ggufs_is_chosen_from() -> None:
    there = ["a/m-Q4_K_M.gguf", "b/n-Q8_0.gguf", "b/n-Q6_K.gguf"]
    assert choose(there, "b").opens == "b/n-Q6_K.gguf"
    assert choose(there, "q8_0").opens == "b/n-Q8_0.gguf"


@pytest.mark.parametrize(
    ("paths", "selector", "says"),
    [
        ([], "", "it has nothing"),
        (["README.md"], "", "no model at its root; it has README.md"),
        (["unet/model.safetensors"], "", "name one of its folders: unet"),
        (["a-Q4_K_M.gguf", "b-Q4_K_M.gguf"], "", "several models in Q4_K_M: a-Q4_K_M.gguf, b-Q4_K_M.gguf; name one"),
        (["a.gguf", "b.gguf"], "", "several models: a.gguf, b.gguf; name one file"),
        (["m-Q4_0-00001-of-00002.gguf"], "", "only 1 of the 2 parts of m-Q4_0-00001-of-00002.gguf"),
        (["m-Q4_0-00001-of-00002.gguf"], "m-Q4_0-00001-of-00002.gguf", "only 1 of the 2 parts"),
        (["m-Q4_K_M.gguf", "m-Q8_0.gguf"], "Q4_K_S", "no 'Q4_K_S'; did you mean Q4_K_M? It has Q4_K_M, Q8_0"),
        (["m-Q4_K_M.gguf"], "zzz", "no 'zzz'; it has Q4_K_M"),
        (["openvino_model.xml"], "openvino_model.xml", "lacks openvino_model.bin"),
        ([f"{number}.bin" for number in range(20)], "zzz", "and 12 more"),
    ],
)
def test_what_cannot_be_chosen_says_what_there_is(paths: list[str], selector: str, says: str) -> None:
    with pytest.raises(ModelError) as caught:
        choose(paths, selector)
    assert says in str(caught.value)
