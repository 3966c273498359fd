"""Small repositories for the hub server, and what tests say of them."""

import random
from pathlib import Path

from moorage.models.attempts import Patience

MIB = 1024 * 1024
QUICK = Patience(connect_s=2, stall_s=1.0, attempts=3, backoff_s=0.01, max_wait_s=2)


def noise(seed: int, size_bytes: int) -> bytes:
    return random.Random(seed).randbytes(size_bytes)


GGUFS = {
    "README.md": b"# models",
    "tiny-Q2_K.gguf": noise(1, 2000),
    "tiny-Q4_K_M.gguf": noise(2, 3 * MIB),
    "tiny-Q8_0.gguf": noise(3, 3000),
    "mmproj-F16.gguf": noise(4, 2000),
    "big/big-F16-00001-of-00003.gguf": noise(5, 5000),
    "big/big-F16-00002-of-00003.gguf": noise(6, 4000),
    "big/big-F16-00003-of-00003.gguf": noise(7, 3000),
}
ENCODER = {
    ".gitattributes": b"*.safetensors filter=lfs",
    "README.md": b"# encoder",
    "config.json": b'{"model_type": "bert"}',
    "tokenizer.json": noise(10, 3000),
    "modules.json": b"[]",
    "1_Pooling/config.json": b'{"pooling_mode_mean_tokens": true}',
    "2_Dense/config.json": b"{}",
    "2_Dense/model.safetensors": noise(11, 2000),
    "2_Dense/pytorch_model.bin": noise(11, 2000),
    "model.safetensors": noise(12, 3 * MIB + 5),
    "pytorch_model.bin": noise(13, 4000),
    "onnx/model.onnx": noise(14, 2000),
    "onnx/model_int8.onnx": noise(15, 1500),
    "openvino/openvino_model.xml": b"<xml/>",
    "openvino/openvino_model.bin": noise(16, 2000),
}
FOLDER = ("README.md", "config.json", "tokenizer.json", "modules.json", "1_Pooling/config.json", "2_Dense/config.json",
          "2_Dense/model.safetensors", "model.safetensors")  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def stored(cache: Path) -> list[str]:
    return [path.name for path in (cache / "models").iterdir()]
