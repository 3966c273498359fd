"""Where the files of a configured model are on this machine. Nothing is fetched."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from moorage.core.text import human
from moorage.models.hubs.caches import find_cached
from moorage.models.source import FileSource, HubSource, parse
from moorage.models.store import Entry, ModelStore


@dataclass(frozen=True)
class NotHere:
    """`source` is fit to be shown: without what may be secret in a URL."""

    source: str
    how: str
    """`not fetched yet`, `half fetched, 3.0 MB are here`."""


def stored(cache_dir: Path) -> Mapping[str, Entry]:
    """The store's models by source; none where it cannot be read, which others tell."""
    try:
        return {entry.source: entry for entry in ModelStore(cache_dir).list()}
    except OSError:
        return {}


def located(source: str, entries: Mapping[str, Entry], environ: Mapping[str, str]) -> Path | NotHere:
    """The file or folder of a source; of one that is a path, that path, there or not. Raises MoorageError, OSError."""
    found = parse(source)
    if isinstance(found, FileSource):
        return found.path
    if isinstance(found, HubSource) and (cached := find_cached(found, environ)):
        return cached[0].path
    entry = entries.get(str(found))
    if entry is None:
        return NotHere(str(found), "not fetched yet")
    if not entry.complete:
        return NotHere(str(found), f"half fetched, {human(entry.size_bytes)} are here")
    return entry.path
