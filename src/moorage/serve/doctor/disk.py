"""Disks: room, whether they can be written, and what kind of file system lies below."""

import errno
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from moorage.core.text import human
from moorage.environments.bounded import together
from moorage.errors import MoorageError
from moorage.serve.doctor.findings import Finding, Scope, first_folder

GIB = 1 << 30
MIB = 1 << 20
INODES_LEAST = 1000

IN_MEMORY = frozenset({"tmpfs", "ramfs"})
FOREIGN = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "drvfs", "fuse.sshfs", "vboxsf", "virtiofs", "afs"})
"""Where locks, sockets or memory mapping are slow or missing."""

_ESCAPED = re.compile(r"\\([0-7]{3})")
"""How the kernel writes spaces in paths."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A folder the server uses."""

    id: str
    name: str
    path: Path
    least_bytes: int
    """Below this something will fail."""
    wanted_bytes: int
    option: str
    """How to choose another."""


def examine(scope: Scope) -> Iterator[Finding]:
    places = [*_configured(scope), temporary()]
    found = together([partial(look, place) for place in places], scope.patience_s)
    for place, finding in zip(places, found, strict=True):
        yield finding or _hangs(place, scope.patience_s)


def temporary() -> Place:
    return Place(
        id="disk.temp",
        name="temp files",
        path=Path(tempfile.gettempdir()),
        least_bytes=16 * MIB,
        wanted_bytes=GIB,
        option="TMPDIR",
    )


def _configured(scope: Scope) -> Iterator[Place]:
    from moorage.config.places import default_cache_dir, default_state_dir

    try:
        config = scope.configuration.result().config
        cache, state = config.cache_dir, config.state_dir
    except (MoorageError, OSError):  # which `configuration` tells
        cache = state = None
    try:
        cache = cache or default_cache_dir(scope.environ)
        state = state or default_state_dir(scope.environ)
    except MoorageError:
        return
    yield Place(
        id="disk.cache",
        name="model files",
        path=cache,
        least_bytes=256 * MIB,
        wanted_bytes=2 * GIB,
        option="cache_dir (MOORAGE_CACHE_DIR)",
    )
    yield Place(
        id="disk.state",
        name="state",
        path=state,
        least_bytes=16 * MIB,
        wanted_bytes=256 * MIB,
        option="state_dir (MOORAGE_STATE_DIR)",
    )


def look(place: Place) -> Finding:
    """A place that is not made yet is judged by the nearest folder that is."""
    folder = first_folder(place.path)
    try:
        stats = os.statvfs(folder)
    except OSError as error:
        return Finding(
            id=place.id,
            level="problem",
            what=place.name,
            detail=f"{place.path}: {error.strerror}",
            fix=f"set {place.option} to another folder",
            facts={"path": str(place.path)},
        )
    free = stats.f_bavail * stats.f_frsize
    kind = filesystem(folder)
    facts: dict[str, object] = {
        "path": str(place.path),
        "exists": folder == place.path,
        "free_bytes": free,
        "filesystem": kind,
    }
    facts["free_inodes"] = stats.f_favail if stats.f_files else None
    what = f"{place.name}: {human(free)} free"
    elsewhere = f"set {place.option} to another folder"
    if refusal := _refusal(place.path, folder):
        return Finding(
            id=place.id,
            level="problem",
            what=f"{place.name}: not writable",
            detail=f"{place.path}: {refusal}",
            fix=elsewhere,
            facts=facts,
        )
    if stats.f_files and stats.f_favail < INODES_LEAST:
        detail = f"{place.path}: only {stats.f_favail} more files can be made (inodes)"
        return Finding(id=place.id, level="problem", what=what, detail=detail, fix=elsewhere, facts=facts)
    if free < place.wanted_bytes:
        lacking = f"less than the {human(place.wanted_bytes)} that are wanted"
        level = "problem" if free < place.least_bytes else "warning"
        fix = f"moorage models remove NAME frees some, or {elsewhere}" if place.id == "disk.cache" else elsewhere
        return Finding(id=place.id, level=level, what=what, detail=f"{place.path}: {lacking}", fix=fix, facts=facts)
    return _of_kind(place, what, kind, facts, elsewhere)


def _of_kind(place: Place, what: str, kind: str, facts: dict[str, object], elsewhere: str) -> Finding:
    where = f"{place.path}{f' ({kind})' if kind else ''}"
    if kind in FOREIGN and place.id != "disk.temp":
        reason = "models load slowly from there" if place.id == "disk.cache" else "locks and sockets may fail there"
        return Finding(id=place.id, level="warning", what=what, detail=f"{where}: {reason}", fix=elsewhere, facts=facts)
    if kind in IN_MEMORY and place.id != "disk.temp":
        return Finding(
            id=place.id,
            level="note",
            what=what,
            detail=f"{where}: it is memory, gone after a restart",
            fix=elsewhere,
            facts=facts,
        )
    return Finding(id=place.id, level="ok", what=what, detail=where, facts=facts)


def _refusal(path: Path, folder: Path) -> str:
    """Why nothing can be written at `path`; empty where it can. Leaves nothing behind."""
    if not folder.is_dir():
        return f"{folder} is a file, not a folder"
    if folder != path:
        return "" if os.access(folder, os.W_OK | os.X_OK) else f"cannot be made in {folder}"
    try:
        with tempfile.TemporaryFile(dir=folder, prefix=".moorage-doctor-") as file:
            file.write(b"\0" * 4096)
            file.flush()
    except OSError as error:
        return "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror or str(error)
    return ""


def filesystem(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """The kind of file system `folder` is on, such as ext4; empty where that cannot be told."""
    try:
        lines = mounts.read_text(errors="replace").splitlines()
        here = folder.resolve()
    except OSError:
        return ""
    best, kind = -1, ""
    for line in lines:
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after:
            continue
        mounted = Path(_ESCAPED.sub(lambda found: chr(int(found[1], 8)), fields[4]))
        depth = len(mounted.parts)
        if depth >= best and (here == mounted or mounted in here.parents):
            best, kind = depth, after.split()[0]
    return kind


def _hangs(place: Place, patience_s: float) -> Finding:
    return Finding(
        id=place.id,
        level="problem",
        what=f"{place.name}: does not answer",
        detail=f"{place.path} gave no answer within {patience_s:g} s; a network drive that is away?",
        fix=f"mount | grep -E 'nfs|cifs|fuse', or set {place.option} to another folder",
        facts={"path": str(place.path)},
    )
