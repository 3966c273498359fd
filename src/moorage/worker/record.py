"""What a worker keeps about a running replica, so that one that comes back can adopt it."""

import contextlib
from dataclasses import replace
from pathlib import Path

import msgspec
from msgspec import Struct

from moorage.access.private import write_private
from moorage.core.devices import Hold
from moorage.core.facts import ModelFacts
from moorage.core.ports import Launch
from moorage.core.remedies import Remedy
from moorage.wire.control import ReplicaOrder
from moorage.worker.remedies import Case

_NAME = "replica.json"


class Record(Struct, frozen=True, kw_only=True):
    order: ReplicaOrder
    generation: int
    engine: str
    adapter: str
    """What the engine is loaded by: its name, or `package.module:attribute`."""
    facts: ModelFacts
    launch: Launch
    """Without environment and without the files' content: those were for the start."""
    why: tuple[str, ...]
    hold: Hold | None = None
    """The accelerators it has."""
    case: Case | None = None
    """What its remedies are remembered for."""
    remedies: tuple[Remedy, ...] = ()
    """What it was started with because starts before it had failed."""
    remembered: bool = False
    """Whether they are of an earlier start."""
    ready: bool = False
    """A start that was not finished is not adopted but done again."""


def record_path(directory: Path) -> Path:
    return directory / _NAME


def write_record(directory: Path, record: Record) -> None:
    slim = msgspec.structs.replace(
        record, launch=replace(record.launch, env={}, files=dict.fromkeys(record.launch.files, b""))
    )
    write_private(directory / _NAME, msgspec.json.encode(slim))


def read_record(directory: Path) -> Record | None:
    """None where there is none that this version understands."""
    try:
        return msgspec.json.decode((directory / _NAME).read_bytes(), type=Record)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def remove_record(directory: Path) -> None:
    with contextlib.suppress(OSError):  # not there, or no directory to be in
        (directory / _NAME).unlink()
