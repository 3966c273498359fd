"""A JSON file beside the weights (config.json and its like), read by type: what is wrong in it is said by name."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from moorage.errors import ModelError
from moorage.models.files.opening import whole

_MAX_BYTES = 8 * 1024 * 1024
_SHOWN = 60


class Document:
    """The fields of a JSON object. Missing and null are None; a value of another type raises ModelError."""

    def __init__(self, path: Path, values: Mapping[str, Any], inside: str = "") -> None:
        self.path = path
        self.values = values
        self._inside = inside

    @classmethod
    def read(cls, path: Path) -> "Document":
        """Raises ModelError: missing, unreadable, a git-lfs pointer, not JSON, not an object."""
        content = _decoded(path)
        if not isinstance(content, dict):
            raise ModelError(f"{str(path)!r} must be a JSON object, not {_shown(content)}")
        return cls(path, cast("dict[str, Any]", content))

    @classmethod
    def find(cls, folder: Path, name: str, there: tuple[str, ...]) -> "Document":
        """The folder's file of that name, empty where `there` does not list it."""
        return cls.read(folder / name) if name in there else cls(folder / name, {})

    def __bool__(self) -> bool:
        return bool(self.values)

    def number(self, *names: str) -> int | None:
        """A whole number under the first of the names that has one; of one per layer the largest; negative is None."""
        for name in names:
            value = self.values.get(name)
            if isinstance(value, list):
                value = max(self._numbers(name, cast("list[Any]", value)), default=None)
            if value is not None and (found := self._whole(name, value)) >= 0:
                return found
        return None

    def text(self, name: str) -> str | None:
        value = self.values.get(name)
        if value is not None and not isinstance(value, str):
            raise self._wrong(name, "a text", value)
        return value or None

    def texts(self, name: str) -> tuple[str, ...]:
        value = self.values.get(name)
        if value is None:
            return ()
        items: list[object] | None = cast("list[object]", value) if isinstance(value, list) else None
        if items is None or not all(isinstance(item, str) for item in items):
            raise self._wrong(name, "a list of texts", self.values[name])
        return tuple(cast("list[str]", items))

    def flag(self, name: str) -> bool:
        value = self.values.get(name)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(name, "true or false", value)
        return bool(value)

    def child(self, *names: str) -> "Document":
        """The object under the first of the names that has one, else an empty one."""
        for name in names:
            value = self.values.get(name)
            if isinstance(value, dict):
                return Document(self.path, cast("dict[str, Any]", value), f"{self._inside}{name}.")
            if value is not None:
                raise self._wrong(name, "an object", value)
        return Document(self.path, {})

    def _numbers(self, name: str, values: list[Any]) -> list[int]:
        return [self._whole(name, value) for value in values if value is not None]

    def _whole(self, name: str, value: object) -> int:
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._wrong(name, "a whole number", value)
        return value

    def _wrong(self, name: str, wanted: str, value: object) -> ModelError:
        return ModelError(f"{str(self.path)!r}: {self._inside + name!r} must be {wanted}, not {_shown(value)}")


def entries(path: Path) -> list[Document]:
    """The objects of a JSON list. Raises ModelError."""
    content = _decoded(path)
    items = cast("list[object]", content) if isinstance(content, list) else [None]
    found = [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]
    if len(found) < len(items):
        raise ModelError(f"{str(path)!r} must be a JSON list of objects, not {_shown(cast('object', content))}")
    return [Document(path, values, f"{number}.") for number, values in enumerate(found)]


def _decoded(path: Path) -> object:
    content = whole(path, _MAX_BYTES)
    if not content.strip():
        raise ModelError(f"{str(path)!r} is empty; get the file again")
    try:
        return json.loads(content)
    except UnicodeDecodeError as error:
        raise ModelError(f"{str(path)!r} is not UTF-8 at byte {error.start}; get the file again") from error
    except RecursionError as error:
        raise ModelError(f"{str(path)!r} is nested too deeply") from error
    except ValueError as error:
        raise ModelError(f"{str(path)!r} is not valid JSON: {error}; get the file again") from error


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
