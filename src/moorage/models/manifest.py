"""What the store knows of a model it keeps: a small JSON document beside its file or folder."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import msgspec

from moorage.models.disk import write_text
from moorage.models.download import read_state

NAME = "manifest.json"


class StoredFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a folder."""

    path: str
    """Relative to the folder, with slashes."""
    sha256: str
    size_bytes: int
    mtime_ns: int
    """Of the file as it was placed. With the size, the cheap sign that it was not touched since."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    source: str
    file: str
    """Name of the file or folder, in the manifest's folder."""
    sha256: str
    """Of the file; of a folder its `folder_checksum`."""
    size_bytes: int
    """Of all files together."""
    mtime_ns: int = 0
    """Of a single file; 0 for a folder."""
    fetched: str
    """ISO 8601, UTC."""
    files: tuple[StoredFile, ...] = ()
    """Of a folder, by path; empty where `file` is a single file."""
    opens: str = ""
    """What of the folder is handed out, relative to it, where that is not the folder itself."""
    revision: str = ""
    """The commit a hub's files are from."""
    why: str = ""
    """Why these files were chosen, where there was a choice."""

    def stored(self) -> tuple[StoredFile, ...]:
        """Every file, with its path relative to the manifest's folder."""
        if self.files:
            return tuple(msgspec.structs.replace(file, path=f"{self.file}/{file.path}") for file in self.files)
        return (StoredFile(path=self.file, sha256=self.sha256, size_bytes=self.size_bytes, mtime_ns=self.mtime_ns),)

    def path(self, folder: Path) -> Path:
        """Of the model, where the manifest lies in `folder`."""
        return folder / self.file / self.opens


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model of the store: a file or a folder."""

    name: str
    source: str
    path: Path
    size_bytes: int
    """As recorded; of a half-fetched model what is here."""
    files: int
    sha256: str | None
    """Of a folder its `folder_checksum`."""
    revision: str
    fetched: str | None
    complete: bool
    why: str = ""


def checksum(files: Mapping[str, str], opens: str = "") -> str:
    """What pins a model of these files, of which `opens` is handed out: the sha256 of the only file, or that of a
    folder. A single file may be named by the empty path."""
    return files[opens] if set(files) == {opens} else folder_checksum(files)


def folder_checksum(files: Mapping[str, str]) -> str:
    """The checksum that pins a whole folder; `files` maps each path to the sha256 of its content.

    It is the sha256 of one line per file, `HEX  PATH` and a newline as sha256sum prints them, sorted by the bytes of
    PATH. PATH is relative to the folder, with slashes. Hidden files (below a name with a dot in front) do not count.
    """
    shown = sorted((os.fsencode(path), sha256) for path, sha256 in files.items() if not is_hidden(path))
    return hashlib.sha256(b"".join(b"%s  %s\n" % (sha256.encode(), path) for path, sha256 in shown)).hexdigest()


def is_hidden(path: str) -> bool:
    """Whether a relative path leads through a name that begins with a dot: .git, .cache, .gitattributes."""
    return any(part.startswith(".") and part != ".." for part in PurePosixPath(path).parts)


def is_inside(path: str) -> bool:
    """Whether a relative path with slashes, from someone else's hand, stays in its folder and is spelled plainly."""
    plain = "\\" not in path and not any(ord(char) < 32 or ord(char) == 127 for char in path)
    return plain and all(part not in ("", ".", "..") for part in path.split("/"))


def read(folder: Path) -> Manifest | None:
    """The folder's manifest; None where there is none, or none that can be read."""
    try:
        found = msgspec.json.decode((folder / NAME).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    paths = [file.path for file in found.files] + ([found.opens] if found.opens else [])
    sound = found.file == os.path.basename(found.file) and all(is_inside(path) for path in paths)
    return found if sound else None


def write(folder: Path, manifest: Manifest) -> None:
    write_text(folder / NAME, msgspec.json.format(msgspec.json.encode(manifest).decode(), indent=2) + "\n")


def untouched(folder: Path, manifest: Manifest) -> bool:
    """Whether every file's size and time are as recorded. Raises OSError (a missing file is simply not untouched)."""
    return all(is_as_recorded(folder / file.path, file) for file in manifest.stored())


def is_as_recorded(path: Path, file: StoredFile) -> bool:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return (found.st_size, found.st_mtime_ns) == (file.size_bytes, file.mtime_ns)


def entry(folder: Path) -> Entry | None:
    """The folder as an entry of the store; None when it holds nothing."""
    if manifest := read(folder):
        return Entry(
            name=folder.name,
            source=manifest.source,
            path=manifest.path(folder),
            size_bytes=manifest.size_bytes,
            files=len(manifest.stored()),
            sha256=manifest.sha256,
            revision=manifest.revision,
            fetched=manifest.fetched,
            complete=True,
            why=manifest.why,
        )
    try:
        here = [file for file in folder.rglob("*") if file.is_file() and not file.name.endswith(".part.json")]
        size_bytes = sum(file.stat().st_size for file in here)
        halves = [half for half in sorted(folder.iterdir()) if half.suffix != ".json"]
    except FileNotFoundError:
        return None  # it is being fetched or removed at this moment
    if not halves:
        return None
    state = next((state for half in halves if (state := read_state(half))), None)
    return Entry(
        name=folder.name,
        source=state.source if state else "",
        path=halves[0],
        size_bytes=size_bytes,
        files=len(here),
        sha256=None,
        revision="",
        fetched=None,
        complete=False,
    )
