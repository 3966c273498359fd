"""What the store knows of a file it keeps: a small JSON document beside it."""

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from moorage.models.disk import write_text
from moorage.models.download import read_state

NAME = "manifest.json"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    source: str
    file: str
    """Name of the file, in the manifest's folder."""
    sha256: str
    size_bytes: int
    mtime_ns: int
    """Of the file as it was placed. With the size, the cheap sign that it was not touched since."""
    fetched: str
    """ISO 8601, UTC."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file of the store."""

    name: str
    source: str
    path: Path
    size_bytes: int
    """As recorded; of a half-fetched file what is here."""
    sha256: str | None
    fetched: str | None
    complete: bool


def read(folder: Path) -> Manifest | None:
    """The folder's manifest; None where there is none, or none that can be read."""
    try:
        found = msgspec.json.decode((folder / NAME).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError):
        return None
    return found if found.file == os.path.basename(found.file) else None


def write(folder: Path, manifest: Manifest) -> None:
    write_text(folder / NAME, msgspec.json.format(msgspec.json.encode(manifest).decode(), indent=2) + "\n")


def untouched(folder: Path, manifest: Manifest) -> bool:
    """Whether the file's size and time are as recorded. Raises OSError (a missing file is simply not untouched)."""
    try:
        found = (folder / manifest.file).stat()
    except FileNotFoundError:
        return False
    return (found.st_size, found.st_mtime_ns) == (manifest.size_bytes, manifest.mtime_ns)


def entry(folder: Path) -> Entry | None:
    """The folder as an entry of the store; None when it holds nothing."""
    if manifest := read(folder):
        return Entry(
            name=folder.name,
            source=manifest.source,
            path=folder / manifest.file,
            size_bytes=manifest.size_bytes,
            sha256=manifest.sha256,
            fetched=manifest.fetched,
            complete=True,
        )
    try:
        files = [(file.stat().st_size, file) for file in folder.iterdir() if file.is_file()]
    except FileNotFoundError:
        return None  # it is being fetched or removed at this moment
    if not files:
        return None
    size_bytes, half = max(files)
    state = read_state(half)
    return Entry(
        name=folder.name,
        source=state.source if state else "",
        path=half,
        size_bytes=size_bytes,
        sha256=None,
        fetched=None,
        complete=False,
    )
