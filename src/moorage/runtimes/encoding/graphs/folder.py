"""What a model's folder says of how texts become numbers: tokenizer, modules, prompts, labels."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from moorage.errors import ModelError
from moorage.models.files import pretrained, sentence
from moorage.models.files.document import Document, entries
from moorage.models.files.opening import listing
from moorage.models.files.pretrained import Described
from moorage.models.files.safetensors import tensors
from moorage.runtimes.encoding.graphs.pooling import ACTIVATIONS, POOLS, Dense, Module, Normalize
from moorage.runtimes.encoding.graphs.weights import numbers
from moorage.runtimes.encoding.port import Activation

TOKENIZER = "tokenizer.json"
_SCORES: dict[str, Activation] = {"Sigmoid": "sigmoid", "Identity": "identity", "Softmax": "softmax"}
_PROMPTS_MAX = 256


@dataclass(frozen=True, kw_only=True)
class Folder:
    base: Path
    """Has config.json, tokenizer and weights."""
    described: Described
    lower: bool
    """Whether texts are put into small letters first."""
    pools: tuple[str, ...]
    modules: tuple[Module, ...]
    """What follows the pooling, but for a normalisation at the end."""
    normalized: bool
    silent: bool
    """Whether the files say nothing of pooling, so that the mean is taken."""
    prompts: Mapping[str, str]
    default_prompt: str | None
    shorter: range | frozenset[int]
    """Sizes to which an embedding may be cut."""
    label_activation: Activation
    score_activation: Activation
    pad_token: int


def read(root: Path) -> Folder:
    """Raises ModelError with what is missing or cannot be served."""
    there = listing(root)
    described = pretrained.describe(root, there)
    base = described.sentence.transformer
    config = described.config
    settings = Document.find(root, sentence.SETTINGS, there)
    pools, modules = _modules(root) if sentence.MODULES in there and described.sentence.embeds else ((), ())
    normalized = not pools or any(isinstance(module, Normalize) for module in modules[-1:])
    return Folder(
        base=base,
        described=described,
        lower=sentence.text_settings(base, listing(base)).flag("do_lower_case"),
        pools=pools or ("mean",),
        modules=modules[:-1] if normalized else modules,
        normalized=normalized,
        silent=not pools,
        prompts=_prompts(settings),
        default_prompt=settings.text("default_prompt_name"),
        shorter=_shorter(config),
        label_activation=_label_activation(config, len(described.labels)),
        score_activation=_score_activation(config, settings),
        pad_token=config.number("pad_token_id") or 0,
    )


def around(graph: Path) -> Path:
    """The folder a graph belongs to: its own, or the one around `onnx/` or `openvino/`."""
    own = graph.absolute().parent
    for name in (TOKENIZER, pretrained.CONFIG):
        for folder in (own, own.parent):
            if os.path.lexists(folder / name):
                return folder
    return own


def check_tokenizer(base: Path, graph: Path | None = None) -> None:
    """Raises ModelError where a folder has none; `graph` is the file that was named, if one was."""
    if os.path.lexists(base / TOKENIZER):
        return
    near = [name for name in ("vocab.txt", "spiece.model", "sentencepiece.bpe.model") if os.path.lexists(base / name)]
    has = f" (it has {near[0]}, an older form)" if near else ""
    raise ModelError(
        f"{str(base)!r} has no {TOKENIZER}{has}, without which no text can be read: put the model's {TOKENIZER} beside "
        f"{graph.name if graph else 'its config.json'}, or name a folder that has both"
    )


def _modules(root: Path) -> tuple[tuple[str, ...], tuple[Module, ...]]:
    """Poolings, and what follows them."""
    pools: tuple[str, ...] = ()
    modules: list[Module] = []
    for module in entries(root / sentence.MODULES)[1:]:
        kind, place = sentence.kind_of(module), sentence.place_of(root, module)
        if kind == "Pooling" and not modules:
            pools = _pools(Document.find(place, "config.json", listing(place)))
        elif kind == "Dense":
            modules.append(_dense(place))
        elif kind == "Normalize":
            modules.append(Normalize())
        elif kind != "Dropout":
            raise ModelError(
                f"{str(root / sentence.MODULES)!r} has a module {kind!r}; served are Transformer, Pooling, Dense and "
                "Normalize: use another model, or an export of it whose graph gives sentence_embedding"
            )
    return pools, tuple(modules)


def _pools(config: Document) -> tuple[str, ...]:
    names = sentence.modes(config)
    for name in names:
        if name not in POOLS:
            raise ModelError(f"{str(config.path)!r} has the pooling {name!r}; served are {', '.join(POOLS)}")
    if config.values.get("include_prompt") is False:
        raise ModelError(f"{str(config.path)!r} leaves prompts out of the pooling, which is not served here")
    return names


def _dense(place: Path) -> Dense:
    config = Document.read(place / "config.json")
    activation = (config.text("activation_function") or "Tanh").rpartition(".")[2]
    if activation not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise ModelError(f"{str(config.path)!r} has the activation {activation!r}; served are {known}")
    if "model.safetensors" not in listing(place):
        raise ModelError(f"{str(place)!r} has no model.safetensors; get the model with its layers in safetensors")
    found = tensors(place)
    if "linear.weight" not in found:
        raise ModelError(f"{str(place)!r} has no tensor 'linear.weight', which a Dense module needs")
    weight = numbers(found["linear.weight"])
    bias = numbers(found["linear.bias"]) if "linear.bias" in found else None
    if weight.ndim != 2 or (bias is not None and bias.shape != weight.shape[:1]):
        raise ModelError(
            f"{str(place)!r} has a layer of the shapes {weight.shape} and {bias is not None and bias.shape}"
        )
    return Dense(weight, bias, activation)


def _prompts(settings: Document) -> dict[str, str]:
    found = settings.child("prompts").values
    if len(found) > _PROMPTS_MAX or not all(isinstance(text, str) for text in found.values()):
        raise ModelError(f"{str(settings.path)!r}: 'prompts' must name texts")
    return cast("dict[str, str]", dict(found))


def _shorter(config: Document) -> range | frozenset[int]:
    named = config.values.get("matryoshka_dimensions")
    if isinstance(named, list):
        sizes = cast("list[object]", named)
        return frozenset(size for size in sizes if isinstance(size, int) and size > 0)
    width = config.number("hidden_size", "d_model", "dim", "n_embd") or 0
    return range(1, width + 1) if config.flag("is_matryoshka") else frozenset()


def _label_activation(config: Document, labels: int) -> Activation:
    """As transformers' pipelines choose it."""
    kind = config.text("problem_type")
    if kind == "regression":
        return "identity"
    return "sigmoid" if kind == "multi_label_classification" or labels == 1 else "softmax"


def _score_activation(config: Document, settings: Document) -> Activation:
    """What the cross-encoder was saved with; a sigmoid where it does not say, as sentence-transformers has it."""
    said = (
        config.child("sentence_transformers").text("activation_fn")
        or config.text("sbert_ce_default_activation_function")
        or settings.text("activation_fn")
    )
    if said is None:
        return "sigmoid"
    name = said.rpartition(".")[2]
    if name not in _SCORES:
        raise ModelError(f"{str(config.path)!r} has the activation {said!r}; served are {', '.join(_SCORES)}")
    return _SCORES[name]
