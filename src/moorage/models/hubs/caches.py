"""Models that other programs have fetched already, used where they lie.

| cache | layout, below its root |
|---|---|
| Hugging Face | `models--ORG--NAME/refs/REVISION` tells the commit of `snapshots/COMMIT/`, links to `blobs/` |
| ModelScope | `models/ORG--NAME/snapshots/REVISION/` |
| ModelScope before 1.38 | `models/ORG/NAME/` or `ORG/NAME/`, dots in NAME as ___; `.mv` in it tells the revision |
| made by hand | `ORG/NAME/` |

Hugging Face's root is HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE or $HF_HOME/hub; ModelScope's is MODELSCOPE_CACHE or
~/.cache/modelscope, and the folder `hub` in it.

A model is used only where it is whole: every file the selection wants, with its shards, configuration, tokenizer and
modules, and nothing of it still under way. No request is made.
"""

import logging
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from moorage.errors import ModelError
from moorage.models.disk import OnProgress, in_thread, sha256_of
from moorage.models.hubs.huggingface import home
from moorage.models.hubs.repository import is_commit
from moorage.models.hubs.selection import FORMATS, Choice, ShardIndex, choose, indexes
from moorage.models.manifest import checksum, is_hidden
from moorage.models.source import HubSource

log = logging.getLogger(__name__)

_MOST_FILES = 10_000
_TOKENIZERS = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
)
_HALF = ".incomplete"


@dataclass(frozen=True)
class Cached:
    folder: Path
    choice: Choice
    owner: str
    """Whose cache it is."""

    @property
    def path(self) -> Path:
        return self.folder / self.choice.opens


class _Tree(msgspec.Struct):
    files: dict[str, msgspec.Raw]


class _Module(msgspec.Struct):
    path: str = ""
    type: str = ""


async def use_cached(
    source: HubSource, sha256: str | None = None, on_progress: OnProgress | None = None
) -> Path | None:
    """The model in a cache of this machine, if it is whole and, where `sha256` is given, has that checksum.

    Reads folders and small files; with `sha256` the whole model, told as `verifying`.
    """
    for cached in await in_thread(find_cached, source):
        try:
            if sha256 is None or sha256 == await _checksum(cached, on_progress):
                log.info("%s: using %s, in the cache of %s: %s", source, cached.path, cached.owner, cached.choice.why)
                return cached.path
        except OSError:
            continue
        log.info("%s: %s has another checksum than wanted, and is left alone", source, cached.path)
    return None


def find_cached(source: HubSource, environ: Mapping[str, str] | None = None) -> list[Cached]:
    """Where the model is whole in a cache of this machine."""
    environ = os.environ if environ is None else environ
    places = _huggingface(source, environ) if source.hub == "hf" else _modelscope(source, environ)
    owner = "Hugging Face" if source.hub == "hf" else "ModelScope"
    found: list[Cached] = []
    for folder in places:
        with suppress(OSError):  # a cache that cannot be read is none
            if choice := _whole(folder, source.selector):
                found.append(Cached(folder, choice, owner))
    return found


def is_half(folder: Path) -> bool:
    """Whether a folder that hf or modelscope downloads into still lacks what they were fetching."""
    if any(folder.glob(f".cache/huggingface/download/**/*{_HALF}")):
        return True
    if any(path.is_file() for path in folder.glob("._____temp/**/*")):
        return True
    return any(not path.with_suffix("").exists() for path in folder.rglob(f"*{_HALF}") if not _hidden(folder, path))


def _huggingface(source: HubSource, environ: Mapping[str, str]) -> Iterable[Path]:
    named = environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE")
    root = Path(named).expanduser() if named else home(environ) / "hub"
    repository = root / f"models--{source.repository.replace('/', '--')}"
    revision = source.revision or "main"
    commit = revision if is_commit(revision) else _line(repository / "refs" / revision)
    if commit and is_commit(commit) and not _fetching(repository):
        yield repository / "snapshots" / commit
    yield from _by_hand(root, source)


def _modelscope(source: HubSource, environ: Mapping[str, str]) -> Iterable[Path]:
    named = environ.get("MODELSCOPE_CACHE")
    root = Path(named).expanduser() if named else Path(environ.get("HOME", "/"), ".cache", "modelscope")
    organisation, _, name = source.repository.partition("/")
    for base in (root, root / "hub"):
        yield base / "models" / f"{organisation}--{name}" / "snapshots" / (source.revision or "master")
        for spelled in dict.fromkeys((name.replace(".", "___"), name)):
            for folder in (base / "models" / organisation / spelled, base / organisation / spelled):
                if source.revision in ("", _told_revision(folder)):
                    yield folder


def _by_hand(root: Path, source: HubSource) -> Iterable[Path]:
    """A folder ORG/NAME with the files, as `hf download --local-dir` makes it; it tells no revision for sure."""
    if not source.revision:
        yield root / source.repository


def _fetching(repository: Path) -> bool:
    """Whether a blob is still coming. What was left behind by a fetch that was repeated since does not count."""
    blobs = repository / "blobs"
    return any(not (blobs / path.name.partition(".")[0]).exists() for path in blobs.glob(f"*{_HALF}"))


def _whole(folder: Path, selector: str) -> Choice | None:
    """What the folder's files make, if they make a whole model."""
    if not folder.is_dir() or is_half(folder):
        return None
    paths = _files(folder)
    try:
        shards = {path: _shards(folder / path) for path in indexes(paths)}
        choice = choose(paths, selector, shards)
        if (folder / choice.opens).is_file():
            return choice
        if _lacking(folder, choice) or (selector and not choice.opens and _others(paths, choice)):
            return None
        listed = _listed(folder)
        return choice if listed is None or set(choose(listed, selector, shards).paths) <= set(paths) else None
    except ModelError:
        return None


def _others(paths: list[str], choice: Choice) -> bool:
    """Whether the folder has weights besides the selected ones, which who opens it might take."""
    return any(path.endswith(FORMATS) and path not in choice.paths for path in paths)


def _listed(snapshot: Path) -> list[str] | None:
    """All files of the commit, where Hugging Face's program noted them (since 2.0)."""
    try:
        noted = (snapshot.parents[1] / "trees" / f"{snapshot.name}.json").read_bytes()
        return list(msgspec.json.decode(noted, type=_Tree).files)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def _files(folder: Path) -> list[str]:
    """Relative paths of the files, links that lead nowhere left out."""
    found: list[str] = []
    for below, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [path.relative_to(folder).as_posix() for name in names if (path := Path(below, name)).is_file()]
        if len(found) > _MOST_FILES:
            return []
    return [path for path in found if not path.endswith(_HALF)]


def _shards(index: Path) -> list[str]:
    try:
        return msgspec.json.decode(index.read_bytes(), type=ShardIndex).shards
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"cannot read {str(index)!r}: {error}") from error


def _lacking(folder: Path, choice: Choice) -> bool:
    """Whether something is missing without which the weights are no model."""
    here = set(choice.paths)
    top = f"{choice.opens}/" if (folder / choice.opens).is_dir() and choice.opens else ""
    if any(path.endswith(".safetensors") for path in here) and f"{top}config.json" not in here:
        return True
    if f"{top}tokenizer_config.json" in here and not any(f"{top}{name}" in here for name in _TOKENIZERS):
        return True
    if f"{top}modules.json" not in here:
        return False
    try:
        modules = msgspec.json.decode((folder / top / "modules.json").read_bytes(), type=list[_Module])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return True
    # Normalize has no file of its own, and git keeps no empty folders.
    configured = (module.path for module in modules if module.path and not module.type.endswith("Normalize"))
    return any(not any(path.startswith(f"{top}{each}/") for path in here) for each in configured)


async def _checksum(cached: Cached, on_progress: OnProgress | None) -> str:
    sums = {path: await sha256_of(cached.folder / path, on_progress) for path in cached.choice.paths}
    return checksum(sums, cached.choice.opens)


def _told_revision(folder: Path) -> str:
    """The revision ModelScope's older programs note beside the files."""
    told = _line(folder / ".mv").partition(",")[0]
    return told.removeprefix("Revision:")


def _line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _hidden(folder: Path, path: Path) -> bool:
    return is_hidden(path.relative_to(folder).as_posix())
