"""Where a repository's files gather until all are here: a folder and a journal, so that a killed fetch goes on."""

import hashlib
import os
import shutil
import threading
from pathlib import Path

import msgspec

from moorage.models.disk import in_thread, place, sha256_of, write_text
from moorage.models.download import state_path
from moorage.models.hubs.repository import RepoFile
from moorage.models.manifest import Manifest, StoredFile, is_as_recorded

NAME = "files.part"
_HALF = ".part"


class Journal(msgspec.Struct, kw_only=True):
    """What is whole in the folder. Readable as a `download.PartState` too."""

    source: str
    sha256: None = None
    total: int | None = None
    revision: str = ""
    files: dict[str, StoredFile] = {}


class Stage:
    """The folder and its journal in the model's folder of the store, whose lock the caller holds."""

    def __init__(self, folder: Path, source: str) -> None:
        self.path = folder / NAME
        self._journal_path = state_path(self.path)
        self._same_commit = True
        self._lock = threading.Lock()
        try:
            self._journal = msgspec.json.decode(self._journal_path.read_bytes(), type=Journal)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            self._journal = Journal(source=source)

    def begin(self, revision: str, total: int | None, final: Path, known: Manifest | None) -> None:
        """Note what is coming. Takes over what stands at `final`, no longer as `known` says. Raises OSError."""
        if final.is_dir() and not self.path.exists():
            final.rename(self.path)
            if known is not None:
                self._journal.files.update({file.path: file for file in known.files})
                self._journal.revision = self._journal.revision or known.revision
        self.path.mkdir(exist_ok=True)
        if self._journal.revision != revision:
            self._same_commit = False
            self._journal.revision = revision
        self._journal.total = total
        self._write()

    def part(self, path: str) -> Path:
        """Where a file is downloaded to. Raises OSError."""
        part = self.path / (path + _HALF)
        part.parent.mkdir(parents=True, exist_ok=True)
        return part

    def here_bytes(self, path: str) -> int:
        """How much of the file is here."""
        for candidate in (self.path / path, self.path / (path + _HALF)):
            if candidate.is_file():
                return candidate.stat().st_size
        return 0

    async def kept(self, file: RepoFile) -> str | None:
        """The sha256 of a file that is here whole and is the one meant; one that is not is removed. Raises OSError."""
        path, known = self.path / file.path, self._journal.files.get(file.path)
        if known is not None and path.is_file():
            intact = is_as_recorded(path, known) or (
                path.stat().st_size == known.size_bytes and await sha256_of(path) == known.sha256
            )
            if intact and await in_thread(self._is_meant, path, known, file):
                return known.sha256
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        return None

    def put(self, file: RepoFile, sha256: str) -> None:
        """The file's part is whole: give it its name and note it. Raises OSError."""
        final = self.path / file.path
        place(self.path / (file.path + _HALF), final)
        state_path(self.path / (file.path + _HALF)).unlink(missing_ok=True)
        stat = final.stat()
        known = StoredFile(path=file.path, sha256=sha256, size_bytes=stat.st_size, mtime_ns=stat.st_mtime_ns)
        with self._lock:
            self._journal.files[file.path] = known
            self._write()

    def clear(self, wanted: set[str]) -> None:
        """Remove whatever does not belong to the model. Raises OSError."""
        for below, folders, names in os.walk(self.path, topdown=False):
            for name in names:
                path = Path(below, name)
                if path.relative_to(self.path).as_posix() not in wanted:
                    path.unlink()
            for name in folders:
                if not any(Path(below, name).iterdir()):
                    Path(below, name).rmdir()

    def drop_if_empty(self) -> None:
        """Leave nothing behind where nothing came. Raises OSError."""
        if not any(path.is_file() for path in self.path.rglob("*")):
            shutil.rmtree(self.path, ignore_errors=True)
            self._journal_path.unlink(missing_ok=True)

    def _is_meant(self, path: Path, known: StoredFile, file: RepoFile) -> bool:
        if file.sha256 is not None:
            return known.sha256 == file.sha256
        if file.git_blob is not None:
            return git_blob(path) == file.git_blob
        return self._same_commit

    def _write(self) -> None:
        write_text(self._journal_path, msgspec.json.encode(self._journal).decode())


def git_blob(path: Path) -> str:
    """Git's checksum of a file: SHA-1 of `blob SIZE`, a NUL and the content. Raises OSError."""
    with path.open("rb") as file:
        digest = hashlib.sha1(b"blob %d\0" % os.fstat(file.fileno()).st_size, usedforsecurity=False)
        while block := file.read(1024 * 1024):
            digest.update(block)
    return digest.hexdigest()
