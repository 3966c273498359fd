"""Where a foreign file's models are: its relative paths count from its own folder, whatever folder Moorage runs in."""

import re
from pathlib import Path
from typing import Any

from moorage.config.plain import at, is_list, is_section

_ELSEWHERE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|[/~$]")
"""A drive letter or a scheme, a whole path, a home, a variable."""
_HUB = re.compile(r"(?P<repository>[A-Za-z0-9_][\w.-]*/[A-Za-z0-9_][\w.-]*)(?P<rest>[@:].+)?", re.ASCII)


def is_repository(text: str) -> bool:
    """Whether it is written like ORG/NAME."""
    found = _HUB.fullmatch(text)
    return found is not None and not found["rest"]


def anchor(tree: Any, folder: Path) -> None:
    """Make the sources of a converted tree mean the same from everywhere."""
    models = at(tree, ("models", "local"))
    for model in models if is_list(models) else ():
        if isinstance(model.get("source"), str):
            model["source"] = anchored(model["source"], folder)
        adapters = at(model, ("options", "lora"))
        if is_section(adapters):
            for name, source in adapters.items():
                adapters[name] = anchored(source, folder) if isinstance(source, str) else source


def anchored(source: str, folder: Path) -> str:
    """A path below `folder` in full; a repository's name where no such path exists, and all else, as it is."""
    if not source or _ELSEWHERE.match(source):
        return source
    if "\\" in source and "/" not in source:
        source = source.replace("\\", "/")
    whole = folder.absolute()
    hub = _HUB.fullmatch(source)
    if hub is None:
        return str(whole / source)
    if not _exists(whole / hub["repository"]):
        return source
    inside = (hub["rest"] or "").removeprefix(":")
    return str(whole / hub["repository"] / inside)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False
