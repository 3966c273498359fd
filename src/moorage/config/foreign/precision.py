"""Words for number formats: dtype, KV cache, quantisation, as engines' files write them."""

import re
from typing import Any

from moorage.config.foreign.rules import Left, Nearest, Understood, Verbatim
from moorage.config.units import Unfit

_DTYPES = {
    "auto": "auto",
    **dict.fromkeys(("half", "float16", "fp16", "f16"), "float16"),
    **dict.fromkeys(("bfloat16", "bf16"), "bfloat16"),
    **dict.fromkeys(("float", "float32", "fp32", "f32"), "float32"),
}
_KV = {
    "auto": "auto",
    **dict.fromkeys(("half", "float16", "fp16", "f16"), "f16"),
    **dict.fromkeys(("bfloat16", "bf16"), "bf16"),
    **dict.fromkeys(("float", "float32", "fp32", "f32"), "f32"),
    **dict.fromkeys(("fp8", "fp8_e4m3", "f8e4m3"), "fp8"),
    **dict.fromkeys(("q8_0", "q4_0"), ""),
}
_QUANTIZATION = ("none", "int8", "int4", "nf4", "fp8", "awq", "gptq")
_SMALL = frozenset({"int8", "int4", "nf4", "fp8", "fp4", "awq", "gptq", "8bit", "4bit"})
_FILES = re.compile(r"compressed.tensors|modelopt.*|gguf|mxfp4|fbgemm_fp8|quark|auto.round|inc|moe_wna16|gpt_oss_mxfp4")


def dtype(value: Any) -> Any:
    """options.dtype."""
    word = _word(value)
    if word in _DTYPES:
        return _DTYPES[word]
    other = f"; {word} is a quantisation, write it as such" if word in _SMALL else ""
    raise Unfit(value, f"auto, float16, bfloat16 or float32{other}")


def kv_cache_dtype(value: Any) -> Any:
    """options.kv_cache_dtype."""
    word = _word(value)
    if word in _KV:
        return _KV[word] or word
    if word.startswith(("fp8", "f8", "turboquant", "int8")):
        return Nearest("fp8", f"{word} has no name of its own here")
    raise Unfit(value, "auto, f32, f16, bf16, fp8, q8_0 or q4_0")


def quantization(value: Any) -> Any:
    """options.quantization, of files that use our words."""
    word = _word(value)
    if word in _QUANTIZATION:
        return word
    if word in ("8bit", "4bit"):
        return Nearest(f"int{word[0]}", f"{word} is written int{word[0]}")
    raise Unfit(value, ", ".join(_QUANTIZATION[:-1]) + f" or {_QUANTIZATION[-1]}")


def vllm_quantization(value: Any) -> Any:
    """options.quantization, of vLLM's `--quantization`."""
    word = _word(value)
    if word in ("int8", "int4", "nf4"):
        return Nearest(word, f"vLLM has no --quantization {word}; what the engine has for it is taken")
    if word in ("none", "fp8", "awq", "gptq"):
        return word
    if word in ("awq_marlin", "gptq_marlin", "awq_triton"):
        return Nearest(word.partition("_")[0], "the engine picks its kernel by itself")
    if word == "bitsandbytes":
        return Nearest("nf4", "what bitsandbytes makes of a model while it is loaded")
    if word == "int8_per_channel_weight_only":
        return Nearest("int8", "its name here")
    if _FILES.fullmatch(word.replace("-", "_")):
        return Understood("the model's files say so themselves")
    return Verbatim()


def in_situ(value: Any) -> Any:
    """options.quantization of mistral.rs's in-situ quantisation: 2 to 8 bits, Q4K, HQQ8, AFQ4, FP8 and the like."""
    word = str(value).strip().upper() if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    if word in ("FP8", "F8E4M3", "F8Q8"):
        return "fp8"
    found = re.fullmatch(r"(?:Q|HQQ|AFQ|MXFP)?([2-8])(?:_[01]|K)?(?:[SML])?", word)
    if found is None:
        raise Unfit(value, "a number of bits (2, 3, 4, 5, 6, 8), or a name like Q4K, Q8_0, HQQ4, AFQ8 or FP8")
    bits = int(found[1])
    near = "int8" if bits >= 6 else "int4"
    return Nearest(near, "quantised when it is loaded, by the engine's own method" if bits in (4, 8) else _lesser(word))


def _lesser(word: str) -> str:
    return f"{word} bits have no name here; the nearest" if word.isdigit() else f"{word} has no name here; the nearest"


def offload(value: Any) -> Any:
    """options.cpu_offload of a flag, or of a number of GiB."""
    if value is False or value == 0:
        return Understood("nothing is offloaded")
    if value is True:
        return Left("says not how much: write options.cpu_offload: 8GB, what each card is too small by")
    if isinstance(value, (int, float)):
        return Nearest(f"{value}GB", "a number of GiB")
    return value


def _word(value: Any) -> str:
    if not isinstance(value, str):
        raise Unfit(value, "text")
    return value.strip().lower()
