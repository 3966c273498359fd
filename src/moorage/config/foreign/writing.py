"""A converted tree as the text of a moorage.yaml, each value with where it comes from."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from moorage.config.foreign.converted import Converted
from moorage.config.options import Path, dotted, options
from moorage.config.plain import is_list, is_section
from moorage.config.tree import Config

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./@+=-]*|[0-9]+(ms|[smhd]|[KMGT]i?B)")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"})


def as_yaml(converted: Converted, data: Any, file: str, title: str) -> str:
    """`data` is what to write: the converted tree, or for moorage.yaml's own format the file as it was read."""
    comments: dict[Path, str] = {}
    for note in converted.notes:
        if note.kind == "mapped" and note.into is not None and note.into not in comments:
            comments[note.into] = dotted(note.key) + (f": {note.why}" if note.why else "")
    head = [f"# Made by `moorage config import` from {file}, read as {title}."]
    left = [f"#   {dotted(note.key)}: {note.why}" for note in converted.told("warned")]
    if left:
        head += ["#", "# Without effect:", *left]
    body = _section(_ordered(data), (), 0, comments) if is_section(data) and data else iter(["{}"])
    return "".join(f"{_harmless(line)}\n" for line in (*head, "", *body))


def _ordered(tree: dict[str, Any]) -> dict[str, Any]:
    """Options in the order they are documented in."""
    order = {option.path: position for position, option in enumerate(options(Config))}

    def sort(value: Any, path: tuple[str, ...]) -> Any:
        if is_list(value):
            return [sort(item, (*path, "*")) for item in value]
        if not is_section(value):
            return value
        names = sorted(value, key=lambda name: order.get((*path, name), len(order)))
        return {name: sort(value[name], (*path, name)) for name in names}

    return sort(tree, ())


def _section(section: dict[str, Any], path: Path, indent: int, comments: Mapping[Path, str]) -> Iterator[str]:
    for key, value in section.items():
        yield from _entry(f"{' ' * indent}{_scalar(key)}:", value, (*path, key), indent + 2, comments)


def _entry(start: str, value: Any, path: Path, indent: int, comments: Mapping[Path, str]) -> Iterator[str]:
    comment = f"  # {comments[path]}" if path in comments else ""
    if is_section(value) and value:
        yield start + comment
        yield from _section(value, path, indent, comments)
    elif is_list(value) and value:
        yield start + comment
        for position, item in enumerate(value):
            yield from _item(item, (*path, position), indent, comments)
    else:
        yield f"{start} {_scalar(value)}{comment}"


def _item(item: Any, path: Path, indent: int, comments: Mapping[Path, str]) -> Iterator[str]:
    if is_list(item) and item:
        yield f"{' ' * indent}-"
        for position, inner in enumerate(item):
            yield from _item(inner, (*path, position), indent + 2, comments)
    elif is_section(item) and item:
        first, *rest = _section(item, path, indent + 2, comments)
        yield f"{' ' * indent}- {first.lstrip()}"
        yield from rest
    else:
        yield from _entry(f"{' ' * indent}-", item, path, indent + 2, comments)


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS
        return value if plain else _quoted(value)
    if isinstance(value, float) and value != value:
        return ".nan"
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return ".inf" if value > 0 else "-.inf"
    return json.dumps(value, ensure_ascii=False)


def _quoted(text: str) -> str:
    """YAML's double quotes, which are JSON's but for characters that cannot be seen."""
    escaped = json.dumps(text, ensure_ascii=False)
    return "".join(one if one.isprintable() else f"\\U{ord(one):08x}" for one in escaped)


def _harmless(line: str) -> str:
    """A line that stays one, whatever a key of the foreign file holds."""
    return "".join(one if one.isprintable() else " " for one in line)
