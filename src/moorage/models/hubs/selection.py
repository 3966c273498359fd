"""Which files of a repository make the model.

| the repository has | is taken, where nothing is selected | a `:SELECTOR` may be |
|---|---|---|
| GGUF | the first quantisation of `gguf_files.PREFERENCE`, all its parts | a quantisation, file, folder |
| else safetensors | at the root: the shards of its index, else `model.safetensors`, else all | a file, folder |
| else CTranslate2 | `model.bin`, where a vocabulary lies beside it | a file |
| else ONNX | `onnx/model.onnx` or `model.onnx`, else one variant; its external data | a variant (int8), file, folder |
| else OpenVINO IR | every `.xml` with its `.bin`, at the root or in `openvino/` | a file, folder |
| else PyTorch | `pytorch_model*.bin`, else `*.pt`, `*.pth`, `*.bin` | a file, folder |
| none of them | nothing: refused, with the folders that have weights | a folder |

All but GGUF come as a folder with what belongs to the weights: at the root configuration, tokenizer, chat template,
custom code, licence; and the numbered modules of a sentence-transformers model (`1_Pooling`, `2_Dense`).
A selected GGUF, ONNX or OpenVINO file is handed out itself, and what belongs to it lies around it as in the repository;
of weights that cannot be read without their configuration the folder is handed out, with no others in it.
Vision projectors (`mmproj`) and importance matrices are never taken for models.
"""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from msgspec import Struct

from moorage.errors import ModelError
from moorage.models.hubs import gguf_files
from moorage.models.hubs.gguf_files import Variant
from moorage.models.manifest import is_hidden

INDEX = ".safetensors.index.json"

_COMPANIONS = frozenset({".json", ".txt", ".model", ".jinja", ".py", ".tiktoken", ".spm", ".vocab", ".yaml", ".yml"})
_NOTICES = ("license", "licence", "notice", "readme")
_SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.safetensors")
_MODULE = re.compile(r"\d+_[A-Za-z]\w*/[^/]+")
_ONNX_VARIANTS = (
    "quantized",
    "int8",
    "uint8",
    "qint8_avx512_vnni",
    "qint8_avx512",
    "quint8_avx2",
    "fp16",
    "q4",
    "bnb4",
)
_GRAPHS = (".onnx", ".xml")
FORMATS = (".safetensors", ".gguf", ".onnx", ".xml", ".bin", ".pt", ".pth")
"""Of weights."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    paths: tuple[str, ...]
    """Sorted."""
    opens: str = ""
    """The file or folder that is handed out; empty for the whole."""
    why: str


class ShardIndex(Struct):
    """A list of shards, as far as it is read."""

    weight_map: dict[str, str]

    @property
    def shards(self) -> list[str]:
        return sorted(set(self.weight_map.values()))


def indexes(paths: Iterable[str]) -> list[str]:
    """The root's lists of shards, which `choose` wants to know."""
    return [path for path in paths if path.endswith(INDEX) and "/" not in path]


def choose(paths: Iterable[str], selector: str = "", shards: Mapping[str, Sequence[str]] | None = None) -> Choice:
    """The files to have, out of all that there are. `shards` maps each of `indexes` to the shards it names.

    Raises ModelError: nothing fits (with what there is), several do, or parts are missing.
    """
    known = sorted(path for path in paths if not is_hidden(path))
    chosen = _selected(known, selector, shards or {}) if selector else _unselected(known, shards or {})
    if missing := [path for path in chosen.paths if path not in set(known)]:
        raise ModelError(f"the repository lacks {_listed(missing)}, which belong to the model")
    return replace(chosen, paths=tuple(sorted(set(chosen.paths))))


def _unselected(paths: list[str], shards: Mapping[str, Sequence[str]]) -> Choice:
    if found := gguf_files.variants(paths):
        return _gguf(found, found[0].why)
    for name, weights in (
        ("safetensors", _safetensors(paths, shards)),
        ("CTranslate2", _ctranslate2(paths)),
        ("ONNX", _onnx(paths)),
        ("OpenVINO", _openvino(paths, "") or _openvino(paths, "openvino/")),
        ("PyTorch", _pytorch(paths)),
    ):
        if weights:
            what = weights[0] if len(weights) == 1 else f"{len(weights)} files"
            return Choice(
                paths=(*weights, *_companions(paths)), why=f"the {name} weights ({what}) and what goes with them"
            )
    folders = sorted({f"{PurePosixPath(path).parent}" for path in paths if path.endswith(FORMATS) and "/" in path})
    there = f"name one of its folders: {_listed(folders)}" if folders else f"it has {_listed(paths)}"
    raise ModelError(f"the repository has no model at its root; {there}")


def _selected(paths: list[str], selector: str, shards: Mapping[str, Sequence[str]]) -> Choice:
    named = selector.strip("/")
    if named in paths:
        return _file(paths, named)
    if inside := [path for path in paths if path.startswith(named + "/")]:
        return _folder(paths, named, inside)
    found = gguf_files.variants(paths)
    if labelled := [variant for variant in found if variant.label == named.upper()]:
        return _gguf(labelled, "the quantisation that was asked for")
    if not found and (onnx := [path for path in paths if path.lower().endswith(f"_{named.lower()}.onnx")]):
        return _file(paths, min(onnx, key=lambda path: (not path.startswith("onnx/model_"), path)))
    if len(same := [path for path in paths if PurePosixPath(path).name == named]) == 1:
        return _file(paths, same[0])
    labels = list(dict.fromkeys(variant.label for variant in found if variant.label))
    there = labels or [path for path in paths if path.endswith(FORMATS)] or paths
    close = difflib.get_close_matches(named, there, n=3, cutoff=0.5)
    hint = f"; did you mean {_listed(close)}?" if close else ""
    raise ModelError(f"the repository has no {selector!r}{hint} It has {_listed(there)}" if hint else
                     f"the repository has no {selector!r}; it has {_listed(there)}")  # fmt: skip


def _gguf(found: list[Variant], why: str) -> Choice:
    best = found[0]
    equal = [variant for variant in found if variant.label == best.label]
    if len(equal) > 1:
        raise ModelError(
            f"the repository has several models{f' in {best.label}' if best.label else ''}: "
            f"{_listed([variant.paths[0] for variant in equal])}; name one file"
        )
    if not best.complete:
        raise ModelError(f"the repository has only {len(best.paths)} of the {best.parts} parts of {best.paths[0]}")
    others = list(dict.fromkeys(variant.label or variant.paths[0] for variant in found[1:]))
    among = f"; also there: {_listed(others)}" if others else ""
    what = best.paths[0] if best.parts == 1 else f"{best.paths[0]} and its {best.parts - 1} other parts"
    reason = why if others or "asked" in why else "the only model there"
    return Choice(paths=best.paths, opens=best.paths[0], why=f"{what}: {best.label or 'GGUF'}, {reason}{among}")


def _file(paths: list[str], path: str) -> Choice:
    why = "the file that was asked for"
    for variant in gguf_files.variants(paths):
        if path in variant.paths:
            return replace(_gguf([variant], why), opens=variant.paths[0])
    if path.endswith(".gguf"):
        return Choice(paths=(path,), opens=path, why=why)
    if not path.endswith(FORMATS):
        return Choice(paths=(path,), opens=path, why=why)
    stem = path.rpartition(".")[0]
    own = {path, f"{stem}.bin"} if path.endswith(".xml") else {path, *_external(paths, path)}
    opens = path if path.endswith(_GRAPHS) else ""
    return Choice(paths=(*own, *_companions(paths)), opens=opens, why=f"{why}, and what goes with it")


def _folder(paths: list[str], folder: str, inside: list[str]) -> Choice:
    why = f"the folder {folder} that was asked for"
    if found := gguf_files.variants(inside):
        return replace(_gguf(found, found[0].why), opens=found[0].paths[0])
    if f"{folder}/config.json" in inside:
        below = _unselected([path.removeprefix(folder + "/") for path in inside], {})
        return Choice(paths=tuple(f"{folder}/{path}" for path in below.paths), opens=folder, why=why)
    weights = _onnx(inside) or _openvino(inside, folder + "/") or inside
    graphs = [path for path in weights if path.endswith(_GRAPHS) and "tokenizer" not in path]
    opens = graphs[0] if len(graphs) == 1 else ""
    return Choice(paths=(*weights, *_companions(paths)), opens=opens, why=f"{why}, and what goes with it")


def _companions(paths: list[str]) -> list[str]:
    found: list[str] = []
    for path in paths:
        name = PurePosixPath(path).name.lower()
        module = _MODULE.fullmatch(path) is not None
        weights = module and (name.endswith(".safetensors") or (name.endswith(".bin") and not _beside(paths, path)))
        small = PurePosixPath(name).suffix in _COMPANIONS or name.startswith(_NOTICES)
        if weights or (small and (module or "/" not in path) and not name.endswith(INDEX)):
            found.append(path)
    return found


def _beside(paths: list[str], path: str) -> bool:
    """Whether safetensors lie in the same folder."""
    folder = path.rpartition("/")[0] + "/"
    return any(other.startswith(folder) and other.endswith(".safetensors") for other in paths)


def _safetensors(paths: list[str], shards: Mapping[str, Sequence[str]]) -> list[str]:
    root = [path for path in paths if path.endswith(".safetensors") and "/" not in path]
    if f"model{INDEX}" in paths:
        return _sharded(root, f"model{INDEX}", shards)
    if "model.safetensors" in root:
        return ["model.safetensors"]
    if listed := indexes(paths):
        return _sharded(root, listed[0], shards)
    return [path for path in root if not path.startswith("consolidated")] or root


def _sharded(root: list[str], index: str, shards: Mapping[str, Sequence[str]]) -> list[str]:
    """The index and its shards: those it names, or those called so where its content is not known."""
    if index in shards:
        return [index, *shards[index]]
    stem = index.removesuffix(INDEX)
    parts = [found for path in root if (found := _SHARD.fullmatch(path)) and found[1] == stem]
    if not parts:
        return root and [index, *root]
    count = int(parts[0][3])
    return [index, *(f"{stem}-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1))]


def _ctranslate2(paths: list[str]) -> list[str]:
    vocabulary = any(path in paths for path in ("vocabulary.txt", "vocabulary.json", "shared_vocabulary.txt"))
    return ["model.bin"] if vocabulary and "model.bin" in paths else []


def _onnx(paths: list[str]) -> list[str]:
    files = [path for path in paths if path.endswith(".onnx") and path.count("/") <= 1]
    names = ["model.onnx", *(f"model_{variant}.onnx" for variant in _ONNX_VARIANTS)]
    for name in names:
        for path in (f"onnx/{name}", name):
            if path in files:
                return [path, *_external(paths, path)]
    return [path for each in files for path in (each, *_external(paths, each))]


def _external(paths: list[str], path: str) -> list[str]:
    """The files with an ONNX model's weights, where they lie beside it."""
    if not path.endswith(".onnx"):
        return []
    return [other for other in paths if other.startswith((f"{path}_data", f"{path}.data"))]


def _openvino(paths: list[str], folder: str) -> list[str]:
    here = [path for path in paths if path.startswith(folder) and path.endswith(".xml")]
    models = [path for path in here if "/" not in path.removeprefix(folder)]
    pairs = [(path, path.removesuffix(".xml") + ".bin") for path in models]
    return [path for pair in pairs if pair[1] in paths for path in pair]


def _pytorch(paths: list[str]) -> list[str]:
    root = [path for path in paths if "/" not in path and path.endswith((".bin", ".pt", ".pth"))]
    named = [path for path in root if path.startswith("pytorch_model")]
    listed = [path for path in paths if path == "pytorch_model.bin.index.json"]
    return [*named, *listed] if named else [path for path in root if path != "training_args.bin"]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:8]) or "nothing"
    return f"{shown} and {len(names) - 8} more" if len(names) > 8 else shown
