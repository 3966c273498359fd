"""A model's files on this machine: where they are, and whether they have changed."""

from pathlib import Path

from moorage.errors import ModelError
from moorage.models.local import files_below
from moorage.models.source import FileSource, parse


def local_path(source: str) -> Path | None:
    """Of the model's file, where it is one of this machine. Raises ModelError."""
    found = parse(source)
    return found.path if isinstance(found, FileSource) else None


def signature(path: Path | None) -> tuple[tuple[str, int, int, int], ...] | None:
    """Changes when the file does, or any file of the folder. Blocks."""
    if path is None:
        return None
    try:
        files = files_below(path) if path.is_dir() else [path]
        stats = [(str(file), file.stat()) for file in files]
    except (OSError, ModelError):
        return None
    return tuple((name, found.st_ino, found.st_size, found.st_mtime_ns) for name, found in stats)
