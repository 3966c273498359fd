"""The table a gateway serves from, kept up to date from the controller, and kept on disk for when it is away."""

import asyncio
import hmac
import random
import time
from collections.abc import Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import structlog

from moorage.access.private import write_private
from moorage.errors import BadRequest, ModelNotFound, MoorageError, UpstreamBroken
from moorage.http.client import Client
from moorage.http.ndjson import follow
from moorage.wire import table as wire
from moorage.wire.names import Task
from moorage.wire.table import ModelRow, OutOfStep, Settings, Snapshot, TargetRow

log = structlog.get_logger("gateway.table")

SILENCE_S = 5.0
"""The controller sends at least a heartbeat a second; this long without one and the stream is opened anew."""
SAVE_EVERY_S = 5.0
ENCODERS: frozenset[Task] = frozenset({"embed", "classify", "rerank"})


NAMES_SHOWN = 10


@dataclass(frozen=True)
class Table:
    """A snapshot with its indexes. Taken by reference when a call is identified, kept until it is settled."""

    snapshot: Snapshot
    by_name: dict[str, ModelRow]
    targets: dict[str, tuple[TargetRow, ...]]
    """By model id; those of an adapter are its parent's, as far as they serve it."""
    only: str | None = None
    """The id of the one model this view of the table shows."""

    @property
    def settings(self) -> Settings:
        return self.snapshot.settings

    def model(self, name: str) -> ModelRow:
        """The model of that name, id or alias. Raises ModelNotFound, naming what there is."""
        row = self.by_name.get(name)
        if row is not None:
            return row
        if self.only is not None:
            raise ModelNotFound(f"there is no model {name!r} at this port: it serves {self.only!r}", param="model")
        known = ", ".join(repr(id) for id in sorted(self.snapshot.models)[:NAMES_SHOWN]) or "none yet"
        raise ModelNotFound(f"there is no model {name!r} here; models: {known}", param="model")

    def sole(self, tasks: Collection[Task]) -> ModelRow:
        """The model of a call that names none: the only one for these tasks. Raises BadRequest, ModelNotFound.

        One whose task is not known yet may be for any; adapters are only had by name. A view of one model always means
        that one.
        """
        models = [row for row in self.snapshot.models.values() if not row.parent]
        fits = [row for row in models if self.only is not None or row.task is None or row.task in tasks]
        if len(fits) == 1:
            return fits[0]
        if self.only is not None:
            raise ModelNotFound(f"this port serves {self.only!r}, which is not configured any more", param="model")
        if not fits:
            raise ModelNotFound(f"there is no model to {' or '.join(tasks)} here", param="model")
        names = ", ".join(repr(row.id) for row in sorted(fits, key=lambda row: row.id)[:NAMES_SHOWN])
        raise BadRequest(f"'model' is missing; it may be {names}", param="model")

    def sole_task(self) -> Task | None:
        """What the only text encoder here is for; None where there is not exactly one."""
        encoders = [row for row in self.snapshot.models.values() if row.task in ENCODERS and not row.parent]
        return encoders[0].task if len(encoders) == 1 else None

    def showing(self, id: str) -> "Table":
        """The view in which there is this model alone, with its adapters."""
        rows = {name: row for name, row in self.snapshot.models.items() if id in (name, row.parent)}
        targets = {name: target for name, target in self.snapshot.targets.items() if target.model == id}
        loads = {name: load for name, load in self.snapshot.loads.items() if name in targets}
        snapshot = msgspec.structs.replace(self.snapshot, models=rows, targets=targets, loads=loads)
        return replace(indexed(snapshot), only=id)


def indexed(snapshot: Snapshot, old: Table | None = None) -> Table:
    """Index a snapshot; what did not change since `old` is shared with it."""
    if old is not None and old.snapshot.models is snapshot.models:
        by_name = old.by_name
    else:
        by_name = {name: row for row in snapshot.models.values() for name in row.names}
    if old is not None and old.snapshot.targets is snapshot.targets and by_name is old.by_name:
        targets = old.targets
    else:
        targets = _targets(snapshot)
    return Table(snapshot, by_name, targets)


def _targets(snapshot: Snapshot) -> dict[str, tuple[TargetRow, ...]]:
    grouped: dict[str, list[TargetRow]] = {}
    for target in snapshot.targets.values():
        grouped.setdefault(target.model, []).append(target)
    targets = {model: tuple(rows) for model, rows in grouped.items()}
    for row in snapshot.models.values():
        if row.parent:
            targets[row.id] = tuple(_serving(target, row.id) for target in targets.get(row.parent, ()))
    return targets


def _serving(target: TargetRow, lora: str) -> TargetRow:
    """A replica as one of its LoRA adapters has it: the same seats, another name."""
    name = target.manners.lora_name.format(model=target.served_name, lora=lora)
    served = msgspec.structs.replace(target, model=lora, served_name=name)
    if target.state != "ready" or lora in target.loras:
        return served
    return msgspec.structs.replace(served, state="starting", reason=f"its engine does not serve {lora!r} yet")


class TableFollower:
    """Follows the controller's table: construct → start → stop. `current` is always a whole, immutable table."""

    def __init__(
        self, client: Client, address: str, token: str, *, path: str, copy: Path | None, on_change: Callable[[], None]
    ) -> None:
        self._client = client
        self._address = address
        self._token = token
        self._path = path
        self._copy = copy
        self._on_change = on_change
        self._task: asyncio.Task[None] | None = None
        self._saved_at = 0.0
        self._first = asyncio.Event()
        self.current = indexed(Snapshot(epoch="", seq=0, settings=Settings()))
        self.updated_at: float | None = None
        """Unix time of the last word from the controller; of the copy where it has not spoken yet."""

    async def start(self, wait_s: float) -> None:
        """Returns once there is a table: the controller's, or after `wait_s` the copy on disk."""
        self._task = asyncio.create_task(self._follow())
        try:
            async with asyncio.timeout(wait_s):
                await self._first.wait()
        except TimeoutError:
            self._load()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def replace(self, snapshot: Snapshot) -> None:
        """Swap the table whole."""
        self.current = indexed(snapshot, self.current)
        self.updated_at = time.time()
        self._first.set()
        self._on_change()

    async def _follow(self) -> None:
        pause_s = 0.1
        while True:
            try:
                await self._read()
                pause_s = 0.1
            except OutOfStep as error:
                log.info("reading the table anew", why=str(error))
            except (MoorageError, msgspec.DecodeError) as error:
                log.warning("the controller is away; serving from the last table", error=str(error))
                pause_s = min(pause_s * 2, 2.0)
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))

    async def _read(self) -> None:
        stream = follow(self._client, self._address, self._path, token=self._token, silence_s=SILENCE_S)
        async with aclosing(stream) as lines:
            async for line in lines:
                self._take(wire.decode(line))
        raise UpstreamBroken("the controller closed the table's stream")

    def _take(self, message: wire.TableMessage) -> None:
        if isinstance(message, Snapshot):
            self.replace(message)
            self._save()
        elif message.empty:
            self.current = Table(wire.apply(self.current.snapshot, message), self.current.by_name, self.current.targets)
            self.updated_at = time.time()
        else:
            self.replace(wire.apply(self.current.snapshot, message))
            if message.models or message.targets or message.keys or message.settings or self._stale_copy():
                self._save()

    def _stale_copy(self) -> bool:
        return time.monotonic() - self._saved_at > SAVE_EVERY_S

    def _save(self) -> None:
        """Keep the table for a start without the controller: authenticated, since a forged one would hold keys."""
        if self._copy is None:
            return
        self._saved_at = time.monotonic()
        body = wire.encode(self.current.snapshot)
        try:
            write_private(self._copy, self._seal(body) + b"\n" + body)
        except OSError as error:
            log.warning("cannot keep a copy of the table", path=str(self._copy), error=str(error))

    def _load(self) -> None:
        if self._copy is None or self._first.is_set():
            return
        try:
            seal, _, body = self._copy.read_bytes().partition(b"\n")
            age_s = time.time() - self._copy.stat().st_mtime
        except OSError:
            return
        if not hmac.compare_digest(seal, self._seal(body)):
            log.error("the copy of the table is not ours; ignored", path=str(self._copy))
            return
        message = wire.decode(body)
        if isinstance(message, Snapshot):
            self.replace(message)
            self.updated_at = time.time() - age_s
            log.warning("the controller is away; serving from the copy on disk", age_s=round(age_s))

    def _seal(self, body: bytes) -> bytes:
        return hmac.digest(self._token.encode(), body, "sha256").hex().encode()
