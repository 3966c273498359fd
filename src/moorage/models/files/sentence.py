"""What sentence-transformers keeps beside a model: its modules, its pooling, the length it was used with."""

from dataclasses import dataclass
from pathlib import Path

from moorage.core.facts import Pooling
from moorage.errors import ModelError
from moorage.models.files.document import Document, entries
from moorage.models.files.opening import listing

MODULES = "modules.json"
SETTINGS = "config_sentence_transformers.json"
_TRANSFORMERS = ("Transformer", "MLMTransformer")
_POOLINGS: dict[str, Pooling] = {"cls": "cls", "mean": "mean", "max": "max", "lasttoken": "last"}
_MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""The library's older spelling, in the order in which it joins several."""
_OTHER: Pooling = "other"
_MAX_MODULES = 32


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """All empty where the folder is none of sentence-transformers'."""

    transformer: Path
    """The folder with config.json and the weights; the model's own as a rule."""
    embeds: bool = False
    scores: bool = False
    """A cross-encoder."""
    pooling: Pooling | None = None
    max_length: int | None = None


def read(folder: Path, there: tuple[str, ...]) -> Sentence:
    """Raises ModelError: broken files, modules that are no text model."""
    scores = Document.find(folder, SETTINGS, there).text("model_type") == "CrossEncoder"
    if MODULES not in there:
        return Sentence(transformer=folder, scores=scores, max_length=_max_length(folder, there))
    modules = [(kind_of(module), place_of(folder, module)) for module in entries(folder / MODULES)[:_MAX_MODULES]]
    if not modules or modules[0][0] not in _TRANSFORMERS:
        first = modules[0][0] if modules else "nothing"
        raise ModelError(
            f"{str(folder / MODULES)!r} begins with {first!r}; models that begin with a Transformer are read"
        )
    transformer = modules[0][1]
    scores = scores or any(kind == "LogitScore" for kind, _ in modules)
    return Sentence(
        transformer=transformer,
        embeds=not scores,
        scores=scores,
        pooling=None if scores else _pooling(modules),
        max_length=_max_length(transformer, listing(transformer)),
    )


def kind_of(module: Document) -> str:
    """The class of a module without its package, which may be the model's own."""
    return (module.text("type") or "").rpartition(".")[2]


def place_of(folder: Path, module: Document) -> Path:
    path = module.text("path") or ""
    if path.startswith("/") or "\0" in path or ".." in Path(path).parts:
        raise ModelError(f"{str(module.path)!r} names the folder {path[:100]!r}, which is not in the model's own")
    return folder / path


def modes(config: Document) -> tuple[str, ...]:
    """The poolings of a module, in the library's newer words; several are joined. Its own default is mean."""
    named = config.values.get("pooling_mode")
    names = (named,) if isinstance(named, str) else config.texts("pooling_mode")
    return names or tuple(name for key, name in _MODES.items() if config.flag(key)) or ("mean",)


def text_settings(folder: Path, there: tuple[str, ...]) -> Document:
    """How texts are cut and spelled: sentence_bert_config.json or its namesake, empty where there is neither."""
    found = [name for name in there if name.startswith("sentence_") and name.endswith("_config.json")]
    return Document.find(folder, found[0], there) if found else Document(folder, {})


def _pooling(modules: list[tuple[str, Path]]) -> Pooling | None:
    for kind, place in modules:
        if kind == "SpladePooling":
            return _OTHER
        if kind == "Pooling":
            names = modes(Document.find(place, "config.json", listing(place)))
            return _POOLINGS.get(names[0], _OTHER) if len(names) == 1 else _OTHER
    return None


def _max_length(folder: Path, there: tuple[str, ...]) -> int | None:
    return text_settings(folder, there).number("max_seq_length") or None
