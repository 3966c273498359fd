"""A real vLLM, a 16-bit model for it, and adapters of the model: made once, from what is here."""

import fcntl
import json
import os
import random
import shutil
import struct
import subprocess
from pathlib import Path

from moorage.config.places import default_cache_dir
from moorage.environments.discovery import installations
from moorage.wire.control import Installation

VARIABLE = "MOORAGE_TEST_VLLM"
"""The program `vllm` of an environment of one's own; else the one that `moorage engine install vllm` made is taken."""
FOLDER = default_cache_dir() / "tests" / "smollm2-135m-instruct-bf16"
HIDDEN, LAYERS, QUERIES, VALUES = 576, 30, 576, 192
RANK = 4

CONVERT = """
import os, sys
import torch
sys.path.append(sys.argv[3])
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
folder, file = os.path.split(sys.argv[1])
whole = GgufConfig(dequantize=True)
model = AutoModelForCausalLM.from_pretrained(
    folder, gguf_file=file, dtype=torch.bfloat16, quantization_config=whole
)
model.save_pretrained(sys.argv[2])
AutoTokenizer.from_pretrained(folder, gguf_file=file).save_pretrained(sys.argv[2])
"""


def program() -> str | None:
    if named := os.environ.get(VARIABLE):
        return named
    found = managed()
    return found.command[0] if found else None


def managed(engine: str = "vllm") -> Installation | None:
    found = installations(default_cache_dir(), {"PATH": ""})
    return next((one for one in found if one.engine == engine), None)


def missing() -> str | None:
    """Why it cannot be had here; None where it can."""
    return None if program() else f"no vLLM: moorage engine install vllm, or name one in {VARIABLE}"


def path() -> dict[str, str]:
    """For the product's environment: the program is found on PATH, unless it is a managed one."""
    named = os.environ.get(VARIABLE)
    return {"PATH": f"{os.environ.get('PATH', os.defpath)}:{Path(named).parent}"} if named else {}


def python() -> str:
    found = program()
    assert found is not None
    return str(Path(found).parent / "python")


def smollm2(gguf: Path) -> Path:
    """The chat model with its weights in 16 bit, as Transformers reads them from GGUF. Made once."""
    FOLDER.parent.mkdir(parents=True, exist_ok=True)
    with open(FOLDER.parent / f"{FOLDER.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not FOLDER.exists():
            new = FOLDER.with_name(f"{FOLDER.name}.new")
            shutil.rmtree(new, ignore_errors=True)
            packages = str(Path(str(__import__("gguf").__file__)).parents[1])
            env = {"HF_HUB_OFFLINE": "1", "PATH": os.defpath, "HOME": str(FOLDER.parent)}
            words = [python(), "-c", CONVERT, str(gguf), str(new), packages]
            subprocess.run(words, env=env, timeout=300, check=True, capture_output=True)
            new.rename(FOLDER)
    return FOLDER


def adapter(folder: Path, seed: int) -> Path:
    """A LoRA adapter in PEFT's format with numbers so large that replies become others."""
    folder.mkdir(parents=True)
    settings = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": RANK, "lora_alpha": 4 * RANK, "lora_dropout": 0.0,
        "target_modules": ["q_proj", "v_proj"], "bias": "none", "base_model_name_or_path": "smol",
    }  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    chance = random.Random(seed)
    header: dict[str, object] = {}
    content = bytearray()
    for layer in range(LAYERS):
        for part, out in (("q_proj", QUERIES), ("v_proj", VALUES)):
            name = f"base_model.model.model.layers.{layer}.self_attn.{part}"
            for kind, shape in (("lora_A", (RANK, HIDDEN)), ("lora_B", (out, RANK))):
                count = shape[0] * shape[1]
                numbers = struct.pack(f"<{count}f", *(chance.gauss(0, 0.05) for _ in range(count)))
                offsets = [len(content), len(content) + len(numbers)]
                header[f"{name}.{kind}.weight"] = {"dtype": "F32", "shape": shape, "data_offsets": offsets}
                content += numbers
    head = json.dumps(header).encode()
    (folder / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + content)
    return folder
