"""A BERT folder (safetensors) as GGUF, laid out as llama.cpp reads it: to embed, or with a score at its end."""

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

from moorage.models.files import safetensors

Array = npt.NDArray[np.float32]

_ARCH = gguf.MODEL_ARCH.BERT
_SPACE = "\u2581"
_WHOLE = ("token_types.weight", "position_embd.weight")
"""Added as they are: llama.cpp has no sum of 32 and 16 bit."""


def write(folder: Path, path: Path, *, half: bool = True, score: tuple[Array, Array] | None = None) -> Path:
    """`score`: weight [1, hidden] and bias [1] over the first token's vector make it a reranker.

    Half: matrices in 16 bit, as such files are usually published.
    """
    config: dict[str, Any] = json.loads((folder / "config.json").read_bytes())
    writer = gguf.GGUFWriter(path, "bert")
    _describe(writer, config, rank=score is not None)
    _vocabulary(writer, folder)
    names = gguf.get_tensor_name_map(_ARCH, config["num_hidden_layers"])
    for name, place in safetensors.tensors(folder).items():
        target = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if target is None or "pooler" in name:
            continue
        array = np.fromfile(place.file, np.float32, int(np.prod(place.shape)), offset=place.offset)
        matrix = half and len(place.shape) == 2 and target not in _WHOLE
        writer.add_tensor(target, array.reshape(place.shape).astype(np.float16 if matrix else np.float32))
    if score is not None:
        writer.add_tensor("cls.output.weight", score[0])
        writer.add_tensor("cls.output.bias", score[1])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _describe(writer: gguf.GGUFWriter, config: dict[str, Any], *, rank: bool) -> None:
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.RANK if rank else gguf.PoolingType.MEAN)
    if rank:
        writer.add_classifier_output_labels(["relevance"])


def _vocabulary(writer: gguf.GGUFWriter, folder: Path) -> None:
    words = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_type_count(2)
    writer.add_token_list([_token(word) for word in words])
    control = {word: words.index(f"[{word}]") for word in ("CLS", "SEP", "UNK", "PAD", "MASK")}
    writer.add_token_types([3 if number in control.values() else 1 for number in range(len(words))])
    writer.add_bos_token_id(control["CLS"])
    writer.add_eos_token_id(control["SEP"])
    writer.add_sep_token_id(control["SEP"])
    writer.add_unk_token_id(control["UNK"])
    writer.add_pad_token_id(control["PAD"])
    writer.add_mask_token_id(control["MASK"])


def _token(word: str) -> str:
    if word.startswith("[") and word.endswith("]"):
        return word
    return word[2:] if word.startswith("##") else _SPACE + word
