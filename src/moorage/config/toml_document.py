"""TOML as plain data, with the line of every key that stands on a line of its own."""

import re
import tomllib
from typing import Any

from moorage.config.document import Document
from moorage.config.options import Path
from moorage.config.plain import at, is_list, is_section
from moorage.errors import ConfigError

_TABLE = re.compile(r"\s*\[(?P<many>\[)?(?P<name>[^\[\]]+)\]")
_ENTRY = re.compile(r"\s*(?P<name>[A-Za-z0-9_\-.\"' ]+?)\s*=")
_PART = re.compile(r"\"([^\"]*)\"|'([^']*)'|([A-Za-z0-9_-]+)")
_WHERE = re.compile(r"\s*\((?:at line (\d+), column (\d+)|at end of document)\)$")
_LONG_TEXT = re.compile(r"\"{3}|'{3}")
_QUOTED = re.compile(r"\s*['\"].*", re.DOTALL)


def parse_toml(text: str, name: str) -> Document:
    """The document in `text`. Raises ConfigError; `name` is what its messages call it."""
    try:
        data: dict[str, Any] = tomllib.loads(text.replace("\r\n", "\n"))
    except ValueError as error:  # TOMLDecodeError, or a number of absurd length
        raise ConfigError(_told(str(error), name, text)) from None
    except RecursionError:
        raise ConfigError(f"{name}: not TOML: nested too deeply") from None
    return Document(_plain(data), _places(text, data))


def _told(message: str, name: str, text: str) -> str:
    """The parser's words with the place in front, without what they quote of the document."""
    where = _WHERE.search(message)
    place = f":{where[1]}:{where[2]}" if where and where[1] else f":{len(text.splitlines()) or 1}" if where else ""
    what = _QUOTED.sub("", _WHERE.sub("", message)) or "it cannot be read"
    if "Unescaped" in message:
        what = "a backslash that TOML does not know; write Windows paths in single quotes, or with /"
    return f"{name}{place}: not TOML: {what[0].lower()}{what[1:]}"


def _plain(value: Any) -> Any:
    """Dates and times as the text they were."""
    if is_section(value):
        return {key: _plain(item) for key, item in value.items()}
    if is_list(value):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float)) else str(value)


def _places(text: str, data: dict[str, Any]) -> dict[Path, tuple[int, int]]:
    """Where keys are, as far as they begin a line."""
    places: dict[Path, tuple[int, int]] = {(): (1, 1)}
    counts: dict[Path, int] = {}
    table: Path = ()
    within_text = False
    for number, line in enumerate(text.splitlines(), start=1):
        began_in_text, within_text = within_text, within_text ^ (len(_LONG_TEXT.findall(line)) % 2 == 1)
        if began_in_text:
            continue
        if found := _TABLE.match(line):
            table = _within(_parts(found["name"]), counts)
            if found["many"]:
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            _note(places, table, data, number, line)
        elif found := _ENTRY.match(line):
            _note(places, (*table, *_parts(found["name"])), data, number, line)
    return places


def _within(parts: Path, counts: dict[Path, int]) -> Path:
    """A table's path: names of lists of tables stand for their last entry."""
    path: Path = ()
    for position, part in enumerate(parts):
        path = (*path, part)
        if path in counts and position < len(parts) - 1:
            path = (*path, counts[path])
    return path


def _note(places: dict[Path, tuple[int, int]], path: Path, data: dict[str, Any], number: int, line: str) -> None:
    for length in range(1, len(path) + 1):
        if at(data, path[:length]) is not None:
            places.setdefault(path[:length], (number, len(line) - len(line.lstrip()) + 1))


def _parts(name: str) -> Path:
    return tuple(found[1] or found[2] or found[3] or "" for found in _PART.finditer(name))
