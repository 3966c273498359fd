"""mistral.rs's multi-model JSON: `{label: {Kind: {…}, "in_situ_quant": …}}`. Clients ask for the model_id."""

import difflib
from dataclasses import dataclass
from typing import Any

from moorage.config.foreign.converted import Converted, Translation
from moorage.config.foreign.mistralrs import (
    DEVICE_LAYERS,
    ISQ,
    NO_GGML,
    NO_IMAGES,
    NO_VOICE,
    NO_XLORA,
    WEIGHTS,
    gguf_source,
    loras,
)
from moorage.config.foreign.rules import Rules, becomes, nothing
from moorage.config.foreign.vllm_flags import own_name
from moorage.config.options import Path
from moorage.config.plain import is_list, is_section

TITLE = "mistral.rs's multi-model JSON"


@dataclass(frozen=True)
class ModelKind:
    """One of mistral.rs's kinds of models."""

    task: str = "generate"
    weights: str = "model_id"
    """The key that says where the weights are."""
    loras: str = ""
    """The key that says where LoRA adapters are."""
    left_out: str = ""
    """Why such a model is not served here."""


KINDS = {
    "Run": ModelKind(task=""),
    "Plain": ModelKind(),
    "VisionPlain": ModelKind(),
    "MultimodalPlain": ModelKind(),
    "Embedding": ModelKind(task="embed"),
    "GGUF": ModelKind(weights="quantized_model_id"),
    "Lora": ModelKind(loras="adapter_model_id"),
    "LoraGGUF": ModelKind(weights="quantized_model_id", loras="adapters_model_id"),
    "XLora": ModelKind(left_out=NO_XLORA),
    "XLoraGGUF": ModelKind(left_out=NO_XLORA),
    "XLoraGGML": ModelKind(left_out=NO_XLORA),
    "GGML": ModelKind(left_out=NO_GGML),
    "LoraGGML": ModelKind(left_out=NO_GGML),
    "DiffusionPlain": ModelKind(left_out=NO_IMAGES),
    "Speech": ModelKind(left_out=NO_VOICE),
}

INSIDE: Rules = {
    **WEIGHTS,
    "model_id": becomes("source", "and the model's name"),
    "quantized_model_id": becomes("source", "as ORG/NAME:FILE, or a path"),
    "quantized_filename": becomes("source", "as ORG/NAME:FILE, or a path"),
    "tok_model_id": becomes("name", "a GGUF file carries its tokenizer"),
    "adapter_model_id": becomes("options.lora", "a model of its own under that name"),
    "adapters_model_id": becomes("options.lora", "a model of its own under that name"),
    "order": nothing("adapters are models of their own here, in no order"),
}
BESIDE: Rules = {
    "in_situ_quant": ISQ,
    "num_device_layers": DEVICE_LAYERS,
    "chat_template": WEIGHTS["chat_template"],
    "jinja_explicit": WEIGHTS["jinja_explicit"],
}
TOP: Rules = {
    "Kind": INSIDE,
    **BESIDE,
}

_PLAIN_KINDS = {kind.lower(): kind for kind in KINDS}
_READ_TOGETHER = (
    *("model_id", "quantized_model_id", "quantized_filename", "tok_model_id"),
    *("adapter_model_id", "adapters_model_id"),
)


def recognised(data: Any) -> bool:
    if is_list(data):  # the form of early versions: [{"model_id": …, "model": {"Plain": …}}]
        return any(is_section(one) and "model_id" in one and "model" in one for one in data)
    if not is_section(data):
        return False
    entries = [one for one in data.values() if is_section(one)]
    return any(key.lower() in _PLAIN_KINDS or key in BESIDE for one in entries for key in one) and not any(
        name in data for name in ("server", "auth", "models")
    )


def convert(data: Any) -> Converted:
    translation = Translation(TITLE)
    if is_list(data):
        translation.refuse((), 'a list will not do; it should be a section: {"label": {"Plain": {"model_id": …}}}')
        return translation.finish()
    translation.tree["models"] = {"local": []}
    for label, entry in data.items():
        _entry(translation, label, entry)
    if not translation.tree["models"]["local"] and not translation.refused:
        translation.refuse((), "none of its models can be served here")
    return translation.finish()


def _entry(translation: Translation, label: str, entry: Any) -> None:
    key: Path = (label,)
    if not is_section(entry):
        translation.refuse(key, 'should be a section: {"Plain": {"model_id": …}}')
        return
    named = [name for name in entry if name in KINDS]
    if len(named) != 1:
        translation.refuse(key, _which(entry, named))
        return
    kind, inside = KINDS[named[0]], entry[named[0]]
    if kind.left_out:
        translation.leave(key, entry, kind.left_out)
        return
    translation.note("honoured", key, "the label only tells the models of the file apart")
    translation.note("honoured", (*key, named[0]), "its keys have notes of their own")
    base = translation.model(key)
    _inside(translation, kind, translation.section(inside, (*key, named[0])), (*key, named[0]), base)
    for name, value in entry.items():
        if name not in named:
            translation.apply(BESIDE, {name: value}, key, [base])


def _which(entry: dict[str, Any], named: list[str]) -> str:
    if named:
        return f"has two kinds, {' and '.join(named)}; give each a label of its own"
    for name in entry:
        if near := difflib.get_close_matches(name.lower(), _PLAIN_KINDS, n=1, cutoff=0.7):
            return f"{name!r} is no kind of model; did you mean {_PLAIN_KINDS[near[0]]}?"
    return f"names no kind of model; known are {', '.join(KINDS)}"


def _inside(translation: Translation, kind: ModelKind, data: dict[str, Any], key: Path, base: Path) -> None:
    if kind.task:
        translation.put((*base, "task"), kind.task, key)
    weights = data.get(kind.weights)
    if not isinstance(weights, str) or not weights:
        hint = "; it would be read from the adapter's files there" if kind.loras else ": ORG/NAME or a path"
        translation.refuse((*key, kind.weights), f"is required{hint}")
    else:
        _source(translation, kind, data, key, base)
    for name, value in data.items():
        if name not in _READ_TOGETHER:
            translation.apply(INSIDE, {name: value}, key, [base])
        elif name == kind.loras and value is not None:
            loras(translation, value, (*key, name), base)
        elif name == kind.weights or (name == "quantized_filename" and kind.weights == "quantized_model_id"):
            translation.note("mapped", (*key, name), "", (*base, "source"))
        elif name == "tok_model_id" and kind.weights == "quantized_model_id":
            translation.note("mapped", (*key, name), "a GGUF file carries its tokenizer", (*base, "name"))
        else:
            translation.unknown((*key, name), value, {kind.weights, *WEIGHTS})


def _source(translation: Translation, kind: ModelKind, data: dict[str, Any], key: Path, base: Path) -> None:
    """mistral.rs calls a GGUF model by where its tokenizer is, where that is said."""
    weights, identity = data[kind.weights], "model_id"
    if kind.weights == "quantized_model_id":
        if data.get("quantized_filename") is None:
            translation.refuse((*key, "quantized_filename"), "is required: the name of the GGUF file")
        weights = gguf_source(weights, data.get("quantized_filename"))
        identity = "tok_model_id" if isinstance(data.get("tok_model_id"), str) else "quantized_model_id"
    translation.put((*base, "source"), weights, (*key, kind.weights))
    name = data[identity]
    translation.put((*base, "name"), name if _is_name(name) else own_name(name), (*key, identity))


def _is_name(text: str) -> bool:
    return text[:1].isascii() and text[:1].isalnum() and "\\" not in text and " " not in text and text.isascii()
