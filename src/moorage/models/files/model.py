"""Facts of a model, whatever its format; what a file that is no model seems to be."""

from pathlib import Path

from moorage.core.facts import ModelFacts
from moorage.errors import ModelError
from moorage.models.files import folder, formats, gguf, gguf_model, openvino
from moorage.models.files.opening import check_no_pointer, exactly, opened, unreadable

_SIGNS: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a zip archive (a wheel, or weights of PyTorch)"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"ggjt", "a model in a format older than GGUF"),
    (b"tjgg", "a model in a format older than GGUF"),
    (b"lmgg", "a model in a format older than GGUF, or one of whisper.cpp"),
)
_PART_OF_FOLDER = frozenset({".safetensors", "model.bin", "config.json", "model.safetensors.index.json"})
"""Names and endings of what is a model only together with the files beside it."""
_HTML = (b"<!doctype html", b"<html", b"<head")


def facts(path: Path) -> ModelFacts:
    """Read what a file or folder says about its model: milliseconds, no weights. Raises ModelError.

    GGUF, ONNX and OpenVINO IR are named by their file, or like all others by their folder.
    """
    try:
        return folder.read(path) if path.is_dir() else _of_file(path)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error


def _of_file(path: Path) -> ModelFacts:
    with opened(path) as (file, size_bytes):
        beginning = exactly(file, min(size_bytes, 512))
    if beginning.startswith(gguf.MAGIC):
        return gguf_model.read(path)
    check_no_pointer(path, beginning)
    if path.suffix == ".onnx" and beginning.strip(b"\0"):
        return formats.read_onnx(path, path)
    if path.suffix == openvino.SUFFIX:
        return formats.read_openvino_file(path)
    if path.name in _PART_OF_FOLDER or path.suffix in _PART_OF_FOLDER:
        raise ModelError(f"{str(path)!r} is one file of a model; name its folder {str(path.absolute().parent)!r}")
    raise ModelError(
        f"{str(path)!r} is not a model file that can be served (GGUF, ONNX, or a folder of safetensors, OpenVINO or "
        f"CTranslate2): it is {appearance(beginning)}"
    )


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
