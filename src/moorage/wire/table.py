"""The table: all a gateway knows, immutable, and the messages that carry it.

`GET /internal/v1/table` answers one JSON object a line: a `Snapshot`, then `Change`s. A change with nothing in it is a
heartbeat. A reader that misses a `seq`, or sees another `epoch`, starts over from a snapshot.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from moorage.wire.control import Load, Manners
from moorage.wire.names import ReplicaState, Task


class Settings(Struct, frozen=True, kw_only=True):
    """What the configuration says to gateways and may change while they run. Times in seconds."""

    request_timeout_s: float = 300.0
    """Bounds a non-streaming call and a stream's first token (server.request_timeout)."""
    connect_timeout_s: float = 5.0
    token_timeout_s: float = 60.0
    """Longest silence between two pieces of a stream (server.token_timeout)."""
    total_timeout_s: float | None = None
    """Longest whole call, streams too (server.total_timeout)."""
    queue_timeout_s: float = 60.0
    max_request_bytes: int = 10 * 1024 * 1024
    max_upload_bytes: int = 200 * 1024 * 1024
    """Largest form with a file in it (server.max_upload_size)."""
    anonymous: bool = False
    """Calls without a key are allowed: no keys configured and every listener on loopback, or said explicitly."""


class ModelRow(Struct, frozen=True, kw_only=True):
    """A name clients may ask for."""

    id: str
    names: tuple[str, ...]
    """Every name it answers to: the id first, then aliases and the path it was given by."""
    task: Task | None
    parent: str = ""
    """Of a LoRA adapter the id of the model whose replicas serve it."""
    created: int
    """Unix time."""
    owned_by: str = "moorage"
    max_model_len: int | None = None
    max_output_tokens: int | None = None
    queue_size: int = 100


class TargetRow(Struct, frozen=True, kw_only=True):
    """One place that can answer for a model."""

    id: str
    model: str
    generation: int
    state: ReplicaState
    reason: str
    since: float
    worker: str = ""
    engine: str = ""
    address: str = ""
    token: str = ""
    served_name: str = ""
    loras: tuple[str, ...] = ()
    """Models it serves besides its own: those whose `parent` that is."""
    capacity: int = 1
    seat: int = 0
    """The target's number among all: where gateways of one machine count its calls."""
    cancels_unary: bool = True
    echoes_model: bool = False
    manners: Manners = Manners()
    retry_at: float | None = None
    restarts: int = 0


class KeyRow(Struct, frozen=True, kw_only=True):
    """An API key, by digest: HMAC-SHA-256 of the key with the pepper, hexadecimal."""

    digest: str
    name: str


class Snapshot(Struct, frozen=True, kw_only=True, tag="snapshot"):
    """Everything. Immutable: a change makes a new one."""

    epoch: str
    """The controller's start; sequence numbers count within it."""
    seq: int
    settings: Settings
    pepper: str = ""
    models: dict[str, ModelRow] = {}
    targets: dict[str, TargetRow] = {}
    loads: dict[str, Load] = {}
    keys: dict[str, KeyRow] = {}


class Change(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="change"):
    """Rows put (a row) or dropped (null), by id."""

    epoch: str
    seq: int
    settings: Settings | None = None
    models: dict[str, ModelRow | None] = {}
    targets: dict[str, TargetRow | None] = {}
    loads: dict[str, Load | None] = {}
    keys: dict[str, KeyRow | None] = {}

    @property
    def empty(self) -> bool:
        return self.settings is None and not (self.models or self.targets or self.loads or self.keys)


TableMessage = Snapshot | Change

Section = Literal["models", "targets", "loads", "keys"]
SECTIONS: tuple[Section, ...] = ("models", "targets", "loads", "keys")


class OutOfStep(Exception):
    """A change does not follow the snapshot it is applied to: read a new snapshot."""


def apply(table: Snapshot, change: Change) -> Snapshot:
    """The table after `change`. Raises OutOfStep when it is not the next one of the same epoch."""
    if change.epoch != table.epoch or change.seq != table.seq + 1:
        raise OutOfStep(f"have {table.epoch}/{table.seq}, got {change.epoch}/{change.seq}")
    sections = {name: _merge(getattr(table, name), getattr(change, name)) for name in SECTIONS}
    return msgspec.structs.replace(table, seq=change.seq, settings=change.settings or table.settings, **sections)


def difference(old: Snapshot, new: Snapshot) -> Change:
    """The change that makes `new` of `old`: the next sequence number of the same epoch."""
    sections = {name: _diff(getattr(old, name), getattr(new, name)) for name in SECTIONS}
    settings = new.settings if new.settings != old.settings else None
    return Change(epoch=old.epoch, seq=old.seq + 1, settings=settings, **sections)


def _merge(rows: dict[str, Any], puts: Mapping[str, Any]) -> dict[str, Any]:
    if not puts:
        return rows
    merged = {**rows, **puts}
    return {key: row for key, row in merged.items() if row is not None}


def _diff(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    puts = {key: row for key, row in new.items() if old.get(key) != row}
    drops: dict[str, Any] = {key: None for key in old if key not in new}
    return puts | drops


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(TableMessage).decode
