"""Engines that are programs: which are here, whether they were seen running in our tests, how the others are had."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from moorage.engines.registry import ENGINES, load
from moorage.environments.discovery import Finder
from moorage.environments.recipes import RECIPES
from moorage.environments.store import EngineStore
from moorage.errors import EngineError, MoorageError
from moorage.serve.doctor.findings import Finding, Scope
from moorage.worker.machine import machine

if TYPE_CHECKING:
    from moorage.environments.store import Half
    from moorage.wire.control import Installation


def examine(scope: Scope) -> Iterator[Finding]:
    cache_dir = _cache_dir(scope)
    if cache_dir is None:  # which the disk's findings tell
        return
    finder = Finder(cache_dir, scope.environ, limit_s=scope.patience_s, remember=False)
    there = finder.installations()
    halves = EngineStore(cache_dir, scope.environ).halves()
    yield from map(present, there)
    yield from map(unfinished, halves)
    yield from absent({one.engine for one in there}, any(device.kind == "cuda" for device in machine().devices))


def present(one: "Installation") -> Finding:
    facts = {
        "installed": True,
        "version": one.version,
        "command": list(one.command),
        "managed": one.managed,
        "proven": _proven(one.engine),
        "flags": None if one.flags is None else len(one.flags),
    }
    silent = "; it did not tell its flags: they are passed unchecked" if one.flags is None else ""
    return Finding(
        id="engines.engine",
        level="note" if silent else "ok",
        what=f"{one.engine} {one.version or 'of unknown version'}",
        detail=f"{one.command[0]}{'' if one.managed else ', found on PATH'}; {proof(one)}{silent}",
        subject=shlex.join(one.command),
        facts=facts,
    )


def proof(one: "Installation") -> str:
    """Whether Moorage's own tests saw the engine run."""
    proven = _proven(one.engine)
    if not proven:
        return "unproven: it never ran in our tests"
    return "proven in our tests" if proven.startswith(one.version or "?") else f"proven in our tests as {proven}"


def unfinished(half: "Half") -> Finding:
    named = f"{half.engine}=={half.version}"
    return Finding(
        id="engines.engine",
        level="warning",
        what=f"{half.engine} {half.version} does not work",
        detail=f"{half.home}: its install did not end, it was moved, or its Python is gone",
        fix=f"moorage engine install {named}    (or: moorage engine remove {named})",
        subject=str(half.home),
        facts={"installed": False},
    )


def absent(there: set[str], cuda: bool) -> Iterator[Finding]:
    """One line for all that could be had here and is not."""
    missing = [name for name in RECIPES if name in ENGINES and name not in there]
    here = [name for name in missing if ("cuda" if cuda else "cpu") in RECIPES[name].variants]
    if not missing:
        return
    others = [name for name in missing if name not in here]
    yield Finding(
        id="engines.engine",
        level="ok",
        what=f"not installed: {', '.join((*here, *others))}",
        detail="for models that the engines above do not read; moorage engine install NAME fetches it or says what it "
        "wants",
        fix=f"moorage engine install {here[0]}" if here else "",
        subject="programs",
        facts={"installed": False, "installable": here, "missing": missing},
    )


def _proven(engine: str) -> str:
    try:
        return load(engine).proven
    except EngineError:  # found by its recipe, and not served by this Moorage
        return ""


def _cache_dir(scope: Scope) -> Path | None:
    from moorage.config.places import default_cache_dir

    try:
        folder = scope.configuration.result().config.cache_dir
    except (MoorageError, OSError):  # which the configuration's findings tell
        folder = None
    try:
        return folder or default_cache_dir(scope.environ)
    except MoorageError:
        return None
