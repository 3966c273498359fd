"""How far an install is, read from what pip prints."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Stage:
    """One step of an install. `total` None is unknown."""

    what: str
    """`resolving`, `downloading torch-2.13.0…whl`, `installing`, `left out: torchvision`, …"""
    done: int = 0
    total: int | None = None
    unit: Literal["bytes", "packages"] = "packages"


OnStage = Callable[[Stage], None]

_DOWNLOADING = re.compile(r"Downloading (\S+)")
_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
_BUILDING = re.compile(r"Building wheel for (\S+)")
_FOUND = re.compile(r"(?:Collecting|Processing) ")
_INSTALLING = "Installing collected packages: "


class Reading:
    """Takes pip's lines (with `--progress-bar raw`), one after the other."""

    def __init__(self) -> None:
        self._found = 0
        self._file = ""

    def line(self, text: str) -> Stage | None:
        """The stage a line tells of; None for one that tells of none."""
        text = text.strip()
        if _FOUND.match(text):
            self._found += 1
            return Stage("resolving", self._found)
        if found := _DOWNLOADING.match(text):
            self._file = found[1].rpartition("/")[2]
            return None  # small files are through before this line is read
        if found := _PROGRESS.match(text):
            return Stage(f"downloading {self._file}".strip(), int(found[1]), int(found[2]) or None, "bytes")
        if found := _BUILDING.match(text):
            return Stage(f"building {found[1]}")
        if text.startswith(_INSTALLING):
            return Stage("installing", 0, text.count(",") + 1)
        return None
