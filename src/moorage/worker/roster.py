"""All replicas of this worker: what is ordered, what runs, what is leaving."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

from moorage.wire.control import ReplicaOrder, ReplicaReport
from moorage.worker.elsewhere import ElsewhereReplica, runs_elsewhere
from moorage.worker.launching import Berth
from moorage.worker.record import read_record
from moorage.worker.replica import Replica
from moorage.worker.sweep import kill_replica, sweep

FAREWELL_S = 5.0
"""How long a stopped replica is still reported, so that the controller hears of its end."""
ADOPT_TIMEOUT_S = 3.0

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Roster:
    """Construct → adopt → reconcile, as often as there are orders → stop."""

    def __init__(self, berth: Berth, on_change: Callable[[ReplicaReport], None]) -> None:
        self._berth = berth
        self._on_change = on_change
        self._replicas: dict[str, Replica | ElsewhereReplica] = {}
        self._wanted: dict[str, ReplicaOrder] = {}
        self._leaving: dict[str, asyncio.Task[None]] = {}
        self._farewell: dict[str, asyncio.TimerHandle] = {}
        self._gone: dict[str, ReplicaReport] = {}
        self._stopping = False

    async def adopt(self) -> None:
        """End what a crash left behind, and go on with what still runs, until the first orders say otherwise."""
        for directory in await asyncio.to_thread(sweep, self._berth.run_dir):
            record = await asyncio.to_thread(read_record, directory)
            if record is None or self._berth.directory(record.order.replica) != directory:
                await asyncio.to_thread(_end, directory)
                continue
            log.info("adopting", replica=record.order.replica, generation=record.generation)
            self._wanted[record.order.replica] = record.order
            self._begin(record.order)
        with contextlib.suppress(TimeoutError):  # orders may change what is adopted, not cut it off half way
            async with asyncio.timeout(ADOPT_TIMEOUT_S):
                await asyncio.gather(*(replica.settled() for replica in self._replicas.values()))

    def reconcile(self, orders: Iterable[ReplicaOrder]) -> None:
        """Make what runs what is ordered. Returns at once; replicas go their own way."""
        if self._stopping:
            return
        self._wanted = {order.replica: order for order in orders}
        for order in self._wanted.values():
            if order.replica in self._leaving:
                continue  # begun again when the old one is gone
            if (replica := self._replicas.get(order.replica)) is None:
                self._begin(order)
            elif isinstance(replica, ElsewhereReplica) == runs_elsewhere(order):
                replica.change(order)
            else:
                self._dismiss(order.replica, "its model moved")
        for name in [name for name in self._replicas if name not in self._wanted and name not in self._leaving]:
            self._dismiss(name, "no longer ordered")

    def reports(self) -> tuple[ReplicaReport, ...]:
        return tuple(replica.report() for replica in self._replicas.values()) + tuple(self._gone.values())

    def knows(self, replica: str) -> bool:
        return replica in self._replicas or replica in self._gone

    async def stop(self, grace_s: float) -> None:
        """Drain and end all replicas at once. Idempotent."""
        self._stopping = True
        for timer in self._farewell.values():
            timer.cancel()
        stops = [replica.stop(grace_s, "its worker stops") for replica in self._replicas.values()]
        await asyncio.gather(*stops, *self._leaving.values())

    def _begin(self, order: ReplicaOrder) -> None:
        self._forget(order.replica)
        replica = self._replica(order)
        self._replicas[order.replica] = replica
        replica.start()

    def _replica(self, order: ReplicaOrder) -> Replica | ElsewhereReplica:
        if runs_elsewhere(order):
            return ElsewhereReplica(order, self._berth.client, self._on_change)
        return Replica(order, self._berth, self._on_change)

    def _dismiss(self, name: str, reason: str) -> None:
        self._leaving[name] = asyncio.create_task(self._leave(name, reason), name=f"stop of {name}")

    async def _leave(self, name: str, reason: str) -> None:
        replica = self._replicas[name]
        await replica.stop(self._berth.settings.drain_s, reason)
        del self._leaving[name], self._replicas[name]
        if (order := self._wanted.get(name)) is not None and not self._stopping:
            self._begin(order)
            return
        self._gone[name] = replica.report()
        self._farewell[name] = asyncio.get_running_loop().call_later(FAREWELL_S, self._forget, name)

    def _forget(self, name: str) -> None:
        self._gone.pop(name, None)
        if (timer := self._farewell.pop(name, None)) is not None:
            timer.cancel()


def _end(directory: Path) -> None:
    """A replica of which nobody knows what it is."""
    kill_replica(directory)
    sweep(directory.parent)
