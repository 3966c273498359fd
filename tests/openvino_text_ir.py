"""A folder of a model that writes, in OpenVINO's IR with its tokenizer, made from a GGUF file by the library itself."""

import html
import json
import re
import subprocess
import sys
from pathlib import Path

TOKENIZER = "openvino_tokenizer.xml"
MAKE = """
import sys
from moorage.runtimes.host.quiet import silence_openvino
silence_openvino()
import openvino_genai
path, scheduler = sys.argv[1], openvino_genai.SchedulerConfig()
scheduler.num_kv_blocks = 4
openvino_genai.ContinuousBatchingPipeline(path, scheduler, "CPU", {"enable_save_ov_model": True})
openvino_genai.Tokenizer(path, enable_save_ov_model=True)
"""
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "max_position_embeddings": 8192, "hidden_size": 576,
    "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152,
}  # fmt: skip


def write(weights: Path, folder: Path) -> Path:
    """In a process of its own: the library writes beside the file it reads."""
    folder.mkdir()
    link = folder / "model.gguf"
    link.symlink_to(weights)
    subprocess.run([sys.executable, "-c", MAKE, str(link)], check=True, capture_output=True, timeout=100)
    link.unlink()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


def with_template(folder: Path, template: str) -> None:
    """Another chat template for the model, in the graph of its tokenizer."""
    graph = folder / TOKENIZER
    written = html.escape(template).replace("\n", "&#10;")
    text, count = re.subn(r'<chat_template value="[^"]*" />', f'<chat_template value="{written}" />', graph.read_text())
    assert count == 1
    graph.write_text(text)
