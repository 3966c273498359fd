"""YAML as plain data, with the place of every value. Errors never repeat what the document says: it may be a secret.

Scalars follow YAML 1.2 (`yes`, `on` and `1:30` are text, `012` is not octal). Refused: duplicate keys, tags, more than
one document, nesting beyond 64, and documents that anchors and aliases blow up beyond 100,000 values.
"""

import codecs
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path as FilePath
from typing import Any

import yaml

from moorage.config.options import Path
from moorage.config.plain import is_list, is_section
from moorage.errors import ConfigError

MAX_FILE_BYTES = 1024 * 1024
MAX_DEPTH = 64
MAX_VALUES = 100_000

_SCALARS: tuple[tuple[re.Pattern[str], Callable[[str], Any]], ...] = (
    (re.compile(r"~|null|Null|NULL|"), lambda text: None),
    (re.compile(r"true|True|TRUE"), lambda text: True),
    (re.compile(r"false|False|FALSE"), lambda text: False),
    (re.compile(r"[-+]?[0-9]{1,100}"), int),
    (re.compile(r"0o[0-7]{1,100}"), lambda text: int(text, 0)),
    (re.compile(r"0x[0-9a-fA-F]{1,100}"), lambda text: int(text, 0)),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
    (re.compile(r"[-+]?\.(inf|Inf|INF)"), lambda text: float(text.replace(".", ""))),
    (re.compile(r"\.(nan|NaN|NAN)"), lambda text: float("nan")),
)


@dataclass(frozen=True)
class Document:
    """What a YAML text says."""

    data: Any
    places: dict[Path, tuple[int, int]]
    """Line and column, from 1, of each value and of the key it belongs to."""

    def place(self, path: Path) -> tuple[int, int]:
        """Where `path` is, or what is nearest above it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        return (1, 1)


def read_text(path: FilePath, limit_bytes: int = MAX_FILE_BYTES) -> str:
    """A small text file. Raises ConfigError that says what is wrong with it; waits for no pipe, reads no device."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: there is no such file") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be opened: {getattr(error, 'strerror', None) or error}") from error
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise ConfigError(f"{path}: is {'a folder' if stat.S_ISDIR(mode) else 'not a regular file'}")
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(limit_bytes + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    finally:
        os.close(descriptor)
    if len(content) > limit_bytes:
        raise ConfigError(f"{path}: is larger than {limit_bytes // 1024} KB, the most such a file may be")
    return _decoded(content, str(path))


def _decoded(content: bytes, name: str) -> str:
    """UTF-8 with or without its mark, and UTF-16 with one, as Windows' editors and shells write it."""
    utf_16 = content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    if not utf_16 and b"\0" in content[:4]:
        raise ConfigError(f"{name}: is not UTF-8 text but perhaps UTF-16 or UTF-32; save it as UTF-8")
    try:
        return content.decode("utf-16" if utf_16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{name}: is not {'UTF-16' if utf_16 else 'UTF-8'} text (byte {error.start}); save it as UTF-8"
        ) from None


def parse(text: str, name: str) -> Document:
    """The document in `text`. Raises ConfigError; `name` is what its messages call it."""
    composer = _Composer(text, name)
    try:
        data = composer.document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        tab = mark is not None and _tab_at(text, mark)
        what = "a tab; YAML is indented with spaces" if tab else _problem(error)
        raise ConfigError(f"{name}{place}: not YAML: {what}") from None
    except yaml.YAMLError:
        raise ConfigError(f"{name}: not YAML: it has characters that text cannot have") from None
    return Document(data, composer.places)


def _tab_at(text: str, mark: yaml.Mark) -> bool:
    """Whether the line is indented with a tab up to where it cannot be read."""
    line = text.split("\n")[mark.line] if mark.line <= text.count("\n") else ""
    return "\t" in line[: mark.column + 1] and not line[: mark.column].strip()


def _problem(error: yaml.MarkedYAMLError) -> str:
    """The parser's words, without names and characters it quotes from the document."""
    words = re.sub(r"\s*['\"].*", "", error.problem or "it cannot be read", flags=re.DOTALL)
    return f"{words.rstrip(':; ')} ({error.context})" if error.context and "'" not in error.context else words


class _Composer:
    """Builds values from the parser's events, counting what it builds."""

    def __init__(self, text: str, name: str) -> None:
        loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self._events: Iterator[Any] = iter(yaml.parse(text, Loader=loader))
        self._name = name
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._values = 0
        self.places: dict[Path, tuple[int, int]] = {}

    def document(self) -> Any:
        started = [event for event in islice(self._events, 2) if isinstance(event, yaml.DocumentStartEvent)]
        if not started:
            return None
        data = self._value(next(self._events), ())
        next(self._events)
        if isinstance(another := next(self._events), yaml.DocumentStartEvent):
            raise self._refusal(another, "a second document begins here; write one")
        return data

    def _refusal(self, event: Any, what: str) -> ConfigError:
        mark = event.start_mark
        return ConfigError(f"{self._name}:{mark.line + 1}:{mark.column + 1}: {what}")

    def _value(self, event: Any, path: Path) -> Any:
        self.places.setdefault(path, (event.start_mark.line + 1, event.start_mark.column + 1))
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        self._count(event, 1)
        if len(path) > MAX_DEPTH:
            raise self._refusal(event, f"nested deeper than {MAX_DEPTH} levels")
        if event.tag is not None and event.tag != "!":
            raise self._refusal(event, "a tag; text that begins with ! is written in quotes")
        before = self._values
        if isinstance(event, yaml.ScalarEvent):
            value = _scalar(event.value) if event.implicit[0] and event.tag is None else event.value
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._sequence(path)
        else:
            value = self._mapping(path)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, self._values - before + 1)
        return value

    def _count(self, event: Any, values: int) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            raise self._refusal(event, f"more than {MAX_VALUES} values, aliases written out")

    def _alias(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            raise self._refusal(
                event, "an alias (*) without its anchor (&); text that begins with * is written in quotes"
            )
        value, size = self._anchors[event.anchor]
        self._count(event, size)
        return value

    def _sequence(self, path: Path) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._value(event, (*path, len(items))))
        return items

    def _mapping(self, path: Path) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        lines: dict[str, int] = {}
        while not isinstance(key := next(self._events), yaml.MappingEndEvent):
            mark: yaml.Mark = key.start_mark
            if not isinstance(key, yaml.ScalarEvent):
                raise self._refusal(key, "a key must be plain text")
            name, line = str(key.value), mark.line + 1
            if name in lines:
                raise self._refusal(key, f"a key that line {lines[name]} has already; keep one of the two")
            lines[name] = line
            if name == "<<" and key.implicit[0]:
                merged = self._merge(next(self._events), path)
                continue
            self.places[(*path, name)] = (line, mark.column + 1)
            own[name] = self._value(next(self._events), (*path, name))
        return merged | own

    def _merge(self, event: Any, path: Path) -> dict[str, Any]:
        """What `<<: *anchor` or `<<: [*first, *second]` brings in; the first of several wins."""
        value = self._value(event, (*path, "<<"))
        merged: dict[str, Any] = {}
        for source in reversed(value if is_list(value) else [value]):
            if not is_section(source):
                raise self._refusal(event, "<< takes a section, or a list of sections")
            merged |= source
        return merged


def _scalar(text: str) -> Any:
    for pattern, read in _SCALARS:
        if pattern.fullmatch(text):
            return read(text)
    return text
