"""The configuration in use as YAML: keys masked, each value that was set with where."""

import json
import re
from collections.abc import Iterator
from typing import Any

from moorage.config.load import Loaded
from moorage.config.options import Path, dotted
from moorage.config.plain import at, is_list, is_section, leaves

MASK = "**********"

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./@+=-]*|[0-9]+(ms|[smhd]|[KMGT]B)")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"})
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+(?=@)")


def masked(loaded: Loaded) -> dict[str, Any]:
    """The whole tree as plain data, without what is secret: keys, what came from secrets' files, passwords in URLs."""
    data = loaded.config.model_dump(mode="json")
    for path in list(leaves(data)):
        value = at(data, path)
        if dotted(path) in loaded.hidden:
            _replace(data, path, MASK)
        elif isinstance(value, str):
            _replace(data, path, _CREDENTIALS.sub(MASK, value))
    return data


def as_yaml(loaded: Loaded) -> str:
    """The tree as the file could say it, with a comment at each value that is no default."""
    return "".join(f"{line}\n" for line in _section(masked(loaded), (), 0, loaded))


def _replace(data: Any, path: Path, value: str) -> None:
    at(data, path[:-1])[path[-1]] = value


def _section(section: dict[str, Any], path: Path, indent: int, loaded: Loaded) -> Iterator[str]:
    for key, value in section.items():
        yield from _entry(f"{' ' * indent}{_scalar(key)}:", value, (*path, key), indent + 2, loaded)


def _entry(start: str, value: Any, path: Path, indent: int, loaded: Loaded) -> Iterator[str]:
    if is_section(value) and value:
        yield start
        yield from _section(value, path, indent, loaded)
    elif is_list(value) and value:
        yield start
        for position, item in enumerate(value):
            yield from _item(item, (*path, position), indent, loaded)
    else:
        source = loaded.sources.get(dotted(path)) or loaded.sources.get(dotted(path[:-1]))
        yield f"{start} {_scalar(value)}{f'  # {source}' if source else ''}"


def _item(item: Any, path: Path, indent: int, loaded: Loaded) -> Iterator[str]:
    if not (is_section(item) and item):
        yield from _entry(f"{' ' * indent}-", item, path, indent + 2, loaded)
        return
    first, *rest = _section(item, path, indent + 2, loaded)
    yield f"{' ' * indent}- {first.lstrip()}"
    yield from rest


def _scalar(value: Any) -> str:
    """One value; JSON's spelling is YAML's wherever a plain word will not do."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False).replace("$", "$$")
