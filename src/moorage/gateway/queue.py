"""The doors of the models: where calls wait for a free seat at an engine.

Waiting happens here and not at the engine: an engine's own queue can neither be reordered nor left in time.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from moorage.core.routing import TargetKey, key_of, least_loaded
from moorage.errors import NotReady, Overloaded
from moorage.gateway.seats import Seats
from moorage.gateway.table import Table
from moorage.wire.table import ModelRow, TargetRow

WORTH_WAITING_S = 5.0
"""An engine that is started again so soon is waited for; during a longer back-off calls are refused."""
LOOK_EVERY_S = 0.005
RETRY_SAME_S = 1.0
"""How long a call waits for another target before it tries again where it failed."""


@dataclass(eq=False)
class _Waiter:
    excluded: frozenset[TargetKey]
    seat: asyncio.Future[TargetRow] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Door:
    """Seats at one model's targets, first come first served."""

    def __init__(self, model: str, table: Callable[[], Table], seats: Seats) -> None:
        self._model = model
        self._table = table
        self._seats = seats
        self._waiting: deque[_Waiter] = deque()
        self._in_use = 0
        self._looking: asyncio.TimerHandle | None = None
        self._mean_s = 1.0
        """Smoothed time a seat was held: what Retry-After is made of."""

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def in_use(self) -> int:
        """Seats held by this process."""
        return self._in_use

    async def enter(self, model: ModelRow, excluded: frozenset[TargetKey], timeout_s: float) -> TargetRow:
        """Wait for a seat; leave it with `leave`. Raises Overloaded (queue full) or NotReady (waited in vain)."""
        if not self._waiting and (target := self._take(excluded)) is not None:
            return target
        if self._hopeless():
            raise self._not_running()
        if len(self._waiting) >= model.queue_size:
            raise Overloaded(
                f"{model.id!r} is busy and {len(self._waiting)} calls wait already (queue_size)",
                retry_after_s=self._expected_wait_s(),
            )
        return await self._wait(_Waiter(excluded), timeout_s)

    def leave(self, target: TargetRow, held_s: float) -> None:
        self._in_use -= 1
        self._seats.give_back(target)
        self._mean_s += 0.1 * (held_s - self._mean_s)
        self.pump()

    def pump(self) -> None:
        """Seat whoever can be seated, or send all away: called when a seat or a target changed."""
        hopeless = bool(self._waiting) and self._hopeless()
        for waiter in list(self._waiting):
            if waiter.seat.done():
                continue
            if hopeless:
                waiter.seat.set_exception(self._not_running())
                continue
            if (target := self._take(waiter.excluded)) is not None:
                waiter.seat.set_result(target)
        self._look_again()

    async def _wait(self, waiter: _Waiter, timeout_s: float) -> TargetRow:
        self._waiting.append(waiter)
        self._look_again()
        try:
            if waiter.excluded:
                await asyncio.wait([waiter.seat], timeout=min(RETRY_SAME_S, timeout_s))
                waiter.excluded = frozenset()
                self.pump()
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(waiter.seat)
        except TimeoutError:
            if waiter.seat.done():
                return waiter.seat.result()
            raise NotReady(
                f"no engine of {self._model!r} was free within {timeout_s:g} s (server.queue_timeout): "
                + self._describe(),
                retry_after_s=self._expected_wait_s(),
            ) from None
        except BaseException:
            # Left, or sent away, in the moment a seat was given: the seat goes to the next.
            if waiter.seat.done() and waiter.seat.exception() is None:
                self.leave(waiter.seat.result(), 0.0)
            raise
        finally:
            self._waiting.remove(waiter)

    def _take(self, excluded: frozenset[TargetKey]) -> TargetRow | None:
        """A seat at the least loaded target that is ready; None when there is none."""
        targets = self._table().targets.get(self._model, ())
        ready = [target for target in targets if target.state == "ready" and key_of(target) not in excluded]
        target = least_loaded(ready, self._seats.load)
        if target is None or not self._seats.take(target):
            return None
        self._in_use += 1
        return target

    def _look_again(self) -> None:
        """Seats given back by other gateways, or by calls of an adapter, are not announced: look while one waits."""
        if self._looking is None and self._waiting and (self._seats.shared or self._shares()):
            self._looking = asyncio.get_running_loop().call_later(LOOK_EVERY_S, self._look)

    def _shares(self) -> bool:
        """Whether calls of another model take the same seats."""
        return any(target.loras for target in self._table().targets.get(self._model, ()))

    def _look(self) -> None:
        self._looking = None
        self.pump()

    def _hopeless(self) -> bool:
        """Whether no target is ready or on its way: then waiting would only hide the reason from the caller."""
        now = time.time()
        targets = self._table().targets.get(self._model, ())
        return not any(
            target.state not in ("failed", "stopped")
            or (target.retry_at is not None and target.retry_at - now <= WORTH_WAITING_S)
            for target in targets
        )

    def _not_running(self) -> NotReady:
        return NotReady(f"{self._model!r} is not running: {self._describe()}", retry_after_s=self._expected_wait_s())

    def _describe(self) -> str:
        targets = self._table().targets.get(self._model, ())
        return "; ".join(f"{t.id} is {t.state} ({t.reason})" for t in targets[:4]) or "it has no replica"

    def _expected_wait_s(self) -> float:
        targets = self._table().targets.get(self._model, ())
        seats = sum(t.capacity for t in targets if t.state == "ready")
        if seats:
            return min(60.0, max(1.0, self._mean_s * (len(self._waiting) + 1) / seats))
        retries = [t.retry_at - time.time() for t in targets if t.retry_at is not None]
        return min(300.0, max(1.0, min(retries, default=30.0)))


class Doors:
    """One door per model, made when first knocked at."""

    def __init__(
        self, table: Callable[[], Table], seats: Seats, on_new: Callable[[str, Door], None] = lambda model, door: None
    ) -> None:
        self._table = table
        self._seats = seats
        self._on_new = on_new
        self._doors: dict[str, Door] = {}

    def __getitem__(self, model: str) -> Door:
        door = self._doors.get(model)
        if door is None:
            door = self._doors[model] = Door(model, self._table, self._seats)
            self._on_new(model, door)
        return door

    def pump(self) -> None:
        """The table changed."""
        models = self._table().snapshot.models
        for model, door in list(self._doors.items()):
            door.pump()
            if model not in models and not door.waiting and not door.in_use:
                del self._doors[model]
