"""Whether what stands in the store is what was fetched."""

import os
from pathlib import Path

import msgspec

from moorage.models.disk import OnProgress, in_thread, sha256_of
from moorage.models.manifest import Manifest, StoredFile, is_as_recorded
from moorage.wire.control import Progress


async def differences(
    folder: Path, known: Manifest, on_progress: OnProgress | None = None, *, all_files: bool = True
) -> dict[str, str]:
    """What is wrong, by the path of each file that differs, in words that follow its name. Empty when all is well.

    Files are read in full; without `all_files` only those whose size or time is not as recorded.
    """
    problems: dict[str, str] = {}
    done = 0
    for file in known.stored():
        if all_files or not is_as_recorded(folder / file.path, file):
            tell = None if on_progress is None else _onwards(on_progress, done, known.size_bytes)
            if problem := await _difference(folder / file.path, file, tell):
                problems[file.path] = problem
        done += file.size_bytes
    return problems


def in_words(problems: dict[str, str], known: Manifest) -> str:
    """The differences as one phrase that follows the model's name."""
    if len(known.stored()) == 1:
        return "".join(problems.values())
    return "; ".join(f"{path.partition('/')[2]} {problem}" for path, problem in problems.items())


def as_it_is(folder: Path, known: Manifest) -> Manifest:
    """The manifest with the files' times as they are now. Raises OSError."""
    if not known.files:
        return msgspec.structs.replace(known, mtime_ns=(folder / known.file).stat().st_mtime_ns)
    inside = folder / known.file
    files = tuple(
        msgspec.structs.replace(file, mtime_ns=(inside / file.path).stat().st_mtime_ns) for file in known.files
    )
    return msgspec.structs.replace(known, files=files)


def _onwards(on_progress: OnProgress, before: int, total: int) -> OnProgress:
    return lambda progress: on_progress(Progress(what=progress.what, done=before + progress.done, total=total))


async def _difference(path: Path, file: StoredFile, on_progress: OnProgress | None) -> str:
    try:
        size_now = await in_thread(os.path.getsize, path)
        if size_now != file.size_bytes:
            return f"has {size_now} bytes instead of {file.size_bytes}"
        digest = await sha256_of(path, on_progress)
    except FileNotFoundError:
        return "is gone"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    return "" if digest == file.sha256 else f"was altered: its sha256 is {digest} instead of {file.sha256}"
