"""Reading a checkpoint's config.json, value by value, each checked where it is used."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from moorage.errors import ModelError
from moorage.models.files.opening import whole

_MAX_BYTES = 16 * 1024 * 1024
"""Configurations with thousands of labels stay far below."""


class Config:
    """The values of a config.json. Each reader takes the names a value may have and raises ModelError where none has
    a value of the right kind and there is no default."""

    def __init__(self, path: Path, values: Mapping[str, Any]) -> None:
        self._path = path
        self._values = values

    def count(self, *names: str, default: int | None = None) -> int:
        """A whole number of at least 1."""
        value = self._find(names, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self._wrong(names, value, "a number of at least 1")
        return value

    def index(self, *names: str, default: int | None = None) -> int:
        """A whole number of at least 0."""
        value = self._find(names, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self._wrong(names, value, "a number of at least 0")
        return value

    def positive(self, *names: str, default: float | None = None) -> float:
        value = self._find(names, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
            raise self._wrong(names, value, "a number above 0")
        return float(value)

    def text(self, *names: str, default: str | None = None) -> str:
        value = self._find(names, default)
        if not isinstance(value, str):
            raise self._wrong(names, value, "text")
        return value

    def texts(self, name: str, *allowed: str) -> tuple[str, ...]:
        """A list of texts, each of them one of `allowed` where that is given; empty where the file has none."""
        value: object = self._values.get(name)
        if value is None:
            return ()
        texts: list[str] = []
        for item in cast(list[object], value) if isinstance(value, list) else [None]:
            if not isinstance(item, str) or (allowed and item not in allowed):
                raise self._wrong((name,), self._values[name], f"a list of {' and '.join(allowed) or 'texts'}")
            texts.append(item)
        return tuple(texts)

    def part(self, name: str) -> "Config":
        """The object under a name; an empty one where the file has none."""
        value = self._values.get(name)
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise self._wrong((name,), value, "an object")
        return Config(self._path, cast(dict[str, Any], value))

    def require(self, name: str, *allowed: object) -> None:
        """Raises ModelError where the file gives a value other than those that can be served; None is allowed."""
        value = self._values.get(name)
        if value is not None and value not in allowed:
            served = " or ".join(repr(item) for item in allowed)
            raise ModelError(
                f"{str(self._path)!r} sets {name} to {value!r}, which this encoder runtime does not have (it has "
                f"{served}); use a copy of the model in the ONNX or GGUF format"
            )

    def _find(self, names: tuple[str, ...], default: object) -> object:
        for name in names:
            if self._values.get(name) is not None:
                return self._values[name]
        return default

    def _wrong(self, names: tuple[str, ...], value: object, wanted: str) -> ModelError:
        found = "is missing" if value is None else f"is {str(value)[:100]!r}"
        return ModelError(f"in {str(self._path)!r}, {' or '.join(names)} {found}; it must be {wanted}")


def read_config(folder: Path) -> Config:
    """Raises ModelError where there is no readable config.json with an object in it."""
    path = folder / "config.json"
    try:
        values = msgspec.json.decode(whole(path, _MAX_BYTES), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ModelError(f"{str(path)!r} cannot be read: {error}; get the file again") from error
    return Config(path, values)
