"""Model files that are used where they lie."""

import re
from pathlib import Path

from moorage.errors import ModelError
from moorage.models.disk import OnProgress, sha256_of
from moorage.models.source import SUPPORTED

_HUB = re.compile(r"[\w.-]+/[\w.-]+")


async def check_local(text: str, path: Path, wanted: str | None, on_progress: OnProgress | None) -> Path:
    """The path, if it is a readable file with the wanted checksum. `text` is the source as it was written.

    Raises ModelError.
    """
    shown = repr(str(path))
    try:
        _check_kind(text, path)
        if wanted is not None and (digest := await sha256_of(path, on_progress)) != wanted:
            raise mismatch(shown, digest, wanted, "correct the sha256, or get the file again")
    except OSError as error:
        raise ModelError(f"cannot read {shown}: {error.strerror or error}") from error
    return path


def mismatch(what: str, digest: str, wanted: str, advice: str) -> ModelError:
    return ModelError(
        f"{what} has another checksum than expected: sha256 is {digest}, wanted {wanted}; {advice}",
        code="checksum_mismatch",
    )


def _check_kind(text: str, path: Path) -> None:
    shown = repr(str(path))
    if not path.exists():
        hub = "; names of Hugging Face are not supported yet in this version" if _HUB.fullmatch(text) else ""
        raise ModelError(f"there is no file {shown}{hub}; model sources are {SUPPORTED}")
    if path.is_dir():
        raise ModelError(f"{shown} is a folder; name the model file in it")
    if not path.is_file():
        raise ModelError(f"{shown} is not a regular file")
    with path.open("rb"):
        pass
