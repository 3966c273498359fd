"""Engines and their versions as they are named: `vllm==0.32.0`."""

import re
from collections.abc import Mapping

from moorage.engines.libraries import LIBRARIES
from moorage.environments.recipes import RECIPES
from moorage.errors import EngineError

_VERSION = re.compile(
    r"v?(\d+(?:\.\d+)*)((?:[._-]?(?:a|b|rc|alpha|beta|dev|post)\.?\d*)*)(?:\+[\w.]+)?", re.IGNORECASE | re.ASCII
)
_TOLD = re.compile(r"\d+(?:\.\d+)+(?:[._-]?(?:a|b|rc|dev|post)\d*)*")
_BUILD = re.compile(r"version:? +b?(\d+)\b")
_LATER: Mapping[str, int] = {"dev": -4, "a": -3, "alpha": -3, "b": -2, "beta": -2, "rc": -1, "post": 1}


def named(text: str) -> tuple[str, str | None]:
    """An engine that is a program, and the version it is pinned to. Raises EngineError for what is neither."""
    engine, equals, version = (part.strip() for part in text.partition("=="))
    if engine not in RECIPES:
        raise EngineError(_unknown(engine))
    if equals and not _VERSION.fullmatch(version):
        raise EngineError(f"{version!r} is no version of {engine}; write it like {engine}=={example(engine)}")
    return engine, version if equals else None


def example(engine: str) -> str:
    return RECIPES[engine].version or "1.2.3"


def public(version: str) -> str:
    """Without what only tells of the build: 0.32.0+cpu is 0.32.0."""
    return version.partition("+")[0]


def told(output: str) -> str:
    """The version in what a program prints of itself; empty where there is none."""
    if found := _TOLD.search(output):
        return found[0]
    build = _BUILD.search(output)
    return build[1] if build else ""


def age(version: str) -> tuple[tuple[int, ...], int, tuple[int, ...]]:
    """Sorts versions from old to new: 1.9 < 1.10rc1 < 1.10 < 1.10.post1."""
    found = _VERSION.fullmatch(version)
    if found is None:
        return tuple(int(number) for number in re.findall(r"\d+", version)), 0, ()
    release, rest = tuple(int(number) for number in found[1].split(".")), found[2].lower()
    words = re.findall(r"[a-z]+", rest)
    return release, _LATER.get(words[0], 0) if words else 0, tuple(int(number) for number in re.findall(r"\d+", rest))


def _unknown(engine: str) -> str:
    if library := LIBRARIES.get(engine):
        how = library.install or "it belongs to every install"
        return f"{engine} is no program but a library within Moorage: {how}"
    return f"there is no engine {engine!r} to install; there are {', '.join(RECIPES)}"
