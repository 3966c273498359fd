"""Reading a checkpoint's config.json, value by value, each checked where it is used."""

from pathlib import Path

from moorage.errors import ModelError
from moorage.models.files.document import Document
from moorage.models.files.pretrained import CONFIG


class Config:
    """The values of a config.json. Each reader takes the names a value may have and raises ModelError where none has
    a value of the right kind and there is no default."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._path = document.path
        self._values = document.values

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
        texts = self._document.texts(name)
        if allowed and not set(texts) <= set(allowed):
            raise self._wrong((name,), self._values[name], f"a list of {' and '.join(allowed)}")
        return texts

    def part(self, name: str) -> "Config":
        """The object under a name; an empty one where the file has none."""
        return Config(self._document.child(name))

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
    return Config(Document.read(folder / CONFIG))
