"""What an installed engine's folder says of itself. A folder without it is no installation."""

import os
from pathlib import Path

import msgspec
from msgspec import Struct

from moorage.wire.control import Installation

NAME = "moorage-engine.json"
LIBRARY_FOLDERS = ("/usr/lib", "/usr/lib64", "/lib", "/usr/local/lib", f"/usr/lib/{os.uname().machine}-linux-gnu")


class Applied(Struct, frozen=True, kw_only=True):
    """Something that was done to the packages, and why."""

    what: str
    why: str


class Manifest(Struct, frozen=True, kw_only=True):
    engine: str
    version: str
    variant: str
    home: str
    """The folder it was made in. An environment cannot be moved."""
    command: tuple[str, ...]
    flags: tuple[str, ...]
    env: dict[str, str] = {}
    preloads: tuple[str, ...] = ()
    """File names of libraries to be loaded first, where they are."""
    patches: tuple[Applied, ...] = ()
    packages: dict[str, str] = {}
    """Name → version."""
    python: str = ""
    size_bytes: int = 0
    installed: str = ""
    """ISO 8601, UTC."""
    seconds: float = 0.0
    source: str = ""
    """Where the packages came from, fit to be shown."""

    def installation(self) -> Installation:
        return Installation(
            engine=self.engine,
            version=self.version,
            command=self.command,
            flags=self.flags,
            env=self.environment(),
            variant=self.variant,
            managed=True,
        )

    def environment(self) -> dict[str, str]:
        """What it needs wherever it runs."""
        found = [path for name in self.preloads if (path := preload(Path(self.home), name))]
        return self.env | ({"LD_PRELOAD": ":".join(found)} if found else {})


def read(folder: Path) -> Manifest | None:
    """None for a folder where an install did not end, was damaged, or was moved from where it was made."""
    try:
        known = msgspec.json.decode((folder / NAME).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError):
        return None
    works = Path(known.home) == folder.absolute() and os.access(known.command[0], os.X_OK)
    return known if works else None


def encoded(known: Manifest) -> str:
    return msgspec.json.format(msgspec.json.encode(known), indent=2).decode() + "\n"


def preload(home: Path, name: str) -> str:
    """The path of a library of the environment, else of the system; empty where neither has it."""
    for folder in (home / "lib", *map(Path, LIBRARY_FOLDERS)):
        if (folder / name).exists():
            return str(folder / name)
    return ""
