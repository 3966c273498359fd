"""Plain data as a document holds it: sections (dicts), lists, single values."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, TypeGuard

from moorage.config.options import Path


def is_section(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, (list, tuple))


def kind(value: object) -> str:
    """What sort of value it is, for messages that must not show it."""
    if is_section(value):
        return "a section"
    if is_list(value):
        return "a list"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    return "nothing" if value is None else "this text"


def at(data: Any, path: Path) -> Any:
    """The value at `path`, None where there is none."""
    for part in path:
        if is_section(data):
            data = data.get(str(part))
        elif is_list(data) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            return None
    return data


def put(data: dict[str, Any], path: Path, value: Any) -> None:
    """Set a value, or the one after a list's last. What is in the way and holds no values stays for validation."""
    here: Any = data
    for part, following in pairwise(path):
        if is_section(here):
            here = here.setdefault(str(part), [] if isinstance(following, int) else {})
        elif is_list(here) and isinstance(part, int) and part < len(here):
            here = here[part]
        else:
            return
    last = path[-1]
    if is_section(here):
        here[str(last)] = value
    elif is_list(here) and isinstance(last, int):
        here[last : last + 1] = [value]


def without_nothing(section: dict[str, Any]) -> dict[str, Any]:
    """The section less its keys with nothing behind them, at every level outside lists."""
    return {
        key: without_nothing(value) if is_section(value) else value
        for key, value in section.items()
        if value is not None
    }


def leaves(data: Any, path: Path = ()) -> Iterator[Path]:
    """The path of every single value."""
    if is_section(data):
        for key, value in data.items():
            yield from leaves(value, (*path, key))
    elif is_list(data):
        for position, value in enumerate(data):
            yield from leaves(value, (*path, position))
    else:
        yield path
