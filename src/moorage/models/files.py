"""Facts of a model file, whatever its format; what a file that is no model seems to be."""

import stat
from pathlib import Path

from moorage.core.facts import ModelFacts
from moorage.errors import ModelError
from moorage.models import gguf

_SIGNS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a git-lfs pointer; run git lfs pull to get the file it stands for"),
    (b"PK\x03\x04", "a zip archive (a wheel, or weights of PyTorch)"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"ggjt", "a model in a format older than GGUF"),
    (b"tjgg", "a model in a format older than GGUF"),
    (b"lmgg", "a model in a format older than GGUF"),
)
_HTML = (b"<!doctype html", b"<html", b"<head")


def facts(path: Path) -> ModelFacts:
    """Read what the file says about its model: a few milliseconds. Raises ModelError."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise ModelError(f"{str(path)!r} is a folder; name the model file in it")
        if not stat.S_ISREG(mode):
            raise ModelError(f"{str(path)!r} is not a regular file")
        with path.open("rb") as file:
            beginning = file.read(512)
    except FileNotFoundError as error:
        raise ModelError(f"there is no file {str(path)!r}") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {str(path)!r}: {error}") from error
    if beginning.startswith(gguf.MAGIC):
        return gguf.read(path)
    raise ModelError(f"{str(path)!r} is not a model file that can be served (GGUF): it is {appearance(beginning)}")


def appearance(beginning: bytes) -> str:
    """What a file is that begins so, in words."""
    if not beginning:
        return "empty"
    if not beginning.strip(b"\0"):
        return "all zeros, as a broken download leaves it"
    for sign, words in _SIGNS:
        if beginning.startswith(sign):
            return words
    text = beginning.lstrip().lower()
    if text.startswith(_HTML):
        return "a web page, not the file behind it"
    if beginning[8:10] in (b'{"', b"{ ", b"{}") and int.from_bytes(beginning[:8], "little") < 1 << 32:
        return "a safetensors file"
    if text.startswith((b"{", b"[")):
        return "JSON text"
    return f"of an unknown kind, beginning with {beginning[:8]!r}"
