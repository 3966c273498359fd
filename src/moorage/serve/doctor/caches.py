"""Model files on this machine: Moorage's own, and what other tools have fetched."""

import os
import re
import shlex
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from moorage.core.text import human
from moorage.environments.bounded import together
from moorage.errors import MoorageError
from moorage.serve.doctor.findings import Finding, Scope

_OF_MODELSCOPE = re.compile(r"(hub/)?models/([^/.]+--[^/]+|[^/.]+(?<!--)/(?!snapshots$)[^/.]+)")
"""A model's folder below ModelScope's cache: ORG--NAME or, before 1.38, ORG/NAME with dots as ___."""
FILES_MOST = 50_000
"""Files that are counted; a cache with more is told to be larger than what was."""


@dataclass(frozen=True, kw_only=True)
class Contents:
    size_bytes: int
    half: tuple[str, ...]
    """Files that were never fetched whole."""
    half_bytes: int
    cut: bool
    """Not all could be counted."""
    models: int = 0


@dataclass(frozen=True, kw_only=True)
class Cache:
    id: str
    name: str
    path: Path
    is_half: Callable[[str], bool]
    """By a file's path below the cache."""
    is_model: Callable[[str], bool]
    """By a folder's path below the cache."""


def examine(scope: Scope) -> Iterator[Finding]:
    caches = [*_own(scope)]
    for of_others in (huggingface, modelscope):
        try:
            caches.append(of_others(scope.environ))
        except RuntimeError as error:  # ~ of nobody
            yield Finding(
                id=f"models.{of_others.__name__}",
                level="warning",
                what="a folder that cannot be",
                detail=f"{error}; see HF_HOME, HF_HUB_CACHE, MODELSCOPE_CACHE",
            )
    ends_at = time.monotonic() + scope.patience_s * 0.8
    found = together([partial(look, cache, ends_at) for cache in caches], scope.patience_s)
    for cache, finding in zip(caches, found, strict=True):
        yield finding or Finding(
            id=cache.id,
            level="warning",
            what=f"{cache.name}: does not answer",
            detail=str(cache.path),
            facts={"path": str(cache.path)},
        )


def _own(scope: Scope) -> Iterator[Cache]:
    from moorage.config.places import default_cache_dir

    try:
        folder = scope.configuration.result().config.cache_dir
    except (MoorageError, OSError):
        folder = None
    try:
        path = (folder or default_cache_dir(scope.environ)) / "models"
    except MoorageError:
        return
    yield Cache(
        id="models.store",
        name="Moorage",
        path=path,
        is_half=lambda name: name.endswith((".part", ".part.json")),
        is_model=lambda name: "/" not in name,
    )


def huggingface(environ: Mapping[str, str]) -> Cache:
    from moorage.models.hubs.huggingface import home

    path = environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE")
    return Cache(
        id="models.huggingface",
        name="Hugging Face",
        path=Path(path).expanduser() if path else home(environ) / "hub",
        is_half=lambda name: name.endswith(".incomplete"),
        is_model=lambda name: name.startswith("models--") and "/" not in name,
    )


def modelscope(environ: Mapping[str, str]) -> Cache:
    path = environ.get("MODELSCOPE_CACHE")
    return Cache(
        id="models.modelscope",
        name="ModelScope",
        path=Path(path).expanduser() if path else Path(environ.get("HOME") or "/", ".cache", "modelscope"),
        is_half=lambda name: "/._____temp/" in f"/{name}",
        is_model=lambda name: _OF_MODELSCOPE.fullmatch(name) is not None,
    )


def look(cache: Cache, ends_at: float) -> Finding:
    facts: dict[str, object] = {"path": str(cache.path), "exists": False}
    try:
        if not cache.path.is_dir():
            return Finding(id=cache.id, level="ok", what=f"{cache.name}: none", detail=str(cache.path), facts=facts)
        held = contents(cache, ends_at)
    except OSError as error:
        return Finding(
            id=cache.id,
            level="warning",
            what=f"{cache.name}: cannot be read",
            detail=f"{cache.path}: {error.strerror or error}",
            fix=f"ls -ld {cache.path}",
            facts=facts,
        )
    facts |= {"exists": True, "models": held.models, "size_bytes": held.size_bytes, "complete_count": not held.cut}
    facts |= {"half": list(held.half), "half_bytes": held.half_bytes}
    count = f"{held.models} model{'' if held.models == 1 else 's'}"
    what = f"{cache.name}: {count}, {'more than ' if held.cut else ''}{human(held.size_bytes)}"
    if not held.half:
        return Finding(id=cache.id, level="ok", what=what, detail=str(cache.path), facts=facts)
    return Finding(
        id=cache.id,
        level="note",
        what=what,
        detail=f"{cache.path}: {len(held.half)} half download{'s'[: len(held.half) > 1]} ({human(held.half_bytes)})",
        fix=_way_out(cache, held.half),
        facts=facts,
    )


def _way_out(cache: Cache, half: tuple[str, ...]) -> str:
    if cache.id == "models.store":
        return "moorage models pull goes on with one, moorage models remove drops it"
    if len(half) == 1:
        return f"rm {shlex.quote(str(cache.path / half[0]))}"
    pattern = "*.incomplete" if cache.id == "models.huggingface" else "*/._____temp/*"
    return f"find {shlex.quote(str(cache.path))} -path '{pattern}' -type f -delete"


def contents(cache: Cache, ends_at: float) -> Contents:
    """Files of the cache, each counted once however many links there are. Stops at the deadline."""
    size = half_bytes = models = count = 0
    half: list[str] = []
    seen: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(cache.path):
        below = os.path.relpath(folder, cache.path)
        prefix = "" if below == "." else f"{below}/"
        models += sum(cache.is_model(f"{prefix}{name}") for name in folders)
        for name in files:
            count += 1
            if count > FILES_MOST or time.monotonic() > ends_at:
                return Contents(size_bytes=size, half=tuple(half), half_bytes=half_bytes, cut=True, models=models)
            try:
                info = os.lstat(os.path.join(folder, name))
            except OSError:
                continue  # it was removed meanwhile
            if (info.st_dev, info.st_ino) in seen or not stat.S_ISREG(info.st_mode):
                continue
            seen.add((info.st_dev, info.st_ino))
            size += info.st_size
            if cache.is_half(f"{prefix}{name}"):
                half.append(f"{prefix}{name}")
                half_bytes += info.st_size
    return Contents(size_bytes=size, half=tuple(half), half_bytes=half_bytes, cut=False, models=models)
