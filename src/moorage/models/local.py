"""Models that are used where they lie."""

import logging
import os
from pathlib import Path

from moorage.errors import ModelError
from moorage.models.disk import OnProgress, in_thread, sha256_of
from moorage.models.hubs.caches import is_half
from moorage.models.manifest import folder_checksum
from moorage.models.source import SUPPORTED

log = logging.getLogger(__name__)

_MOST_FILES = 10_000
"""A folder with more is someone's home, not a model."""


async def check_local(text: str, path: Path, wanted: str | None, on_progress: OnProgress | None) -> Path:
    """The path, if it is a readable file or a folder of files, with the wanted checksum where one is given.
    `text` is the source as it was written.

    Raises ModelError.
    """
    shown = repr(str(path))
    try:
        await in_thread(_check_kind, text, path)
        if wanted is not None and (digest := await _checksum(path, on_progress)) != wanted:
            raise mismatch(shown, digest, wanted, "correct the sha256, or get the model again")
    except OSError as error:
        raise ModelError(f"cannot read {str(error.filename or path)!r}: {error.strerror or error}") from error
    return path


def mismatch(what: str, digest: str, wanted: str, advice: str) -> ModelError:
    return ModelError(
        f"{what} has another checksum than expected: sha256 is {digest}, wanted {wanted}; {advice}",
        code="checksum_mismatch",
    )


def files_below(folder: Path) -> list[Path]:
    """The files of a model's folder, by path; hidden ones do not count. Follows links to files, not to folders.

    Raises OSError, and ModelError where there are too many for a model.
    """
    found: list[Path] = []
    for below, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(below, name) for name in sorted(names) if not name.startswith(".")]
        if len(found) > _MOST_FILES:
            raise ModelError(f"{str(folder)!r} has more than {_MOST_FILES} files; name the model's own folder")
    return found


async def _checksum(path: Path, on_progress: OnProgress | None) -> str:
    """Of a file its sha256, of a folder its `folder_checksum`."""
    if not await in_thread(path.is_dir):
        return await sha256_of(path, on_progress)
    files = await in_thread(files_below, path)
    return folder_checksum({file.relative_to(path).as_posix(): await sha256_of(file, on_progress) for file in files})


def _check_kind(text: str, path: Path) -> None:
    shown = repr(str(path))
    if not path.exists():
        raise ModelError(f"there is no file or folder {shown}{_other_readings(text)}; model sources are {SUPPORTED}")
    if path.is_dir():
        files = files_below(path)
        if not files:
            raise ModelError(f"{shown} is an empty folder; name the folder or the file of a model")
        for file in files:
            file.stat()
        if is_half(path):
            log.warning("%s looks half-downloaded (.incomplete files are in it); have its download end", shown)
    elif not path.is_file():
        raise ModelError(f"{shown} is not a regular file")
    else:
        with path.open("rb"):
            pass


def _other_readings(text: str) -> str:
    """What else may have been meant by a path that leads nowhere."""
    if text.count("/") == 1 and not text.startswith((".", "~", "/")) and ":" not in text:
        return f"; if the repository of a hub is meant, write hf:{text} or ms:{text}"
    if text[1:2] == ":":
        return " (drives of Windows are looked for below /mnt, as WSL mounts them)"
    return ""


def _raise(error: OSError) -> None:
    raise error
