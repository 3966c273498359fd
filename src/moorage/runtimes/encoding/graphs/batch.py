"""Dynamic batching: one thread computes steps, made of texts of whichever calls are waiting."""

import asyncio
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from moorage.errors import InternalError, MoorageError, Overloaded
from moorage.runtimes.encoding.graphs.queue import Queue, Waiting
from moorage.runtimes.encoding.graphs.session import Stop, Stopped
from moorage.runtimes.encoding.port import Item, Kind, Numbers
from moorage.runtimes.host.metrics import Counters
from moorage.runtimes.host.priority import background

STEP_S = 0.2
"""A step is planned to take no longer, so that who comes next need not wait longer for it."""
SMALLEST_STEP = 64
"""Tokens a step may always have: below it a step costs more than its tokens."""
SMOOTHING = 0.2
WAITING_STEPS = 4
"""So many steps' worth of one call's texts wait at once: a call of thousands leaves room for others."""
CALLS_WAITING_MAX = 1024

Compute = Callable[[Kind, Sequence[Item], Stop], list[Numbers]]
"""One step, on the worker's thread. Raises MoorageError, Stopped."""


@dataclass
class StepCounters(Counters):
    steps: int = 0
    texts: int = 0
    tokens: int = 0
    padding: int = 0
    seconds: float = 0.0


@dataclass(eq=False)
class _Call:
    kind: Kind
    items: Sequence[Item]
    done: asyncio.Future[None]
    results: list[Numbers | None]
    missing: int
    coming: deque[int]
    """Places of texts that are not in the queue yet, the longest first."""
    waiting: set[int] = field(default_factory=set[int])
    """Numbers in the queue."""
    queued_tokens: int = 0
    gone: bool = False


class Batcher:
    """construct → start → stop. `run` is called on one event loop."""

    def __init__(
        self, compute: Compute, *, batch_tokens: int, max_calls: int, token_s: float = 0.0, niceness: int = 0
    ) -> None:
        """`token_s` is what a token took when it was last measured, 0 where it was not."""
        self.counters = StepCounters()
        self.max_calls = max_calls
        self.running = 0
        self.queued = 0
        self._compute = compute
        self._batch_tokens = batch_tokens
        self._seats = asyncio.Semaphore(max_calls)
        self._queue = Queue()
        self._change = threading.Condition()
        self._step: list[Waiting] = []
        self._stop = Stop()
        self._closing = False
        self._token_s = token_s
        self._niceness = niceness
        self._thread = threading.Thread(target=self._work, name="steps", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def texts_waiting(self) -> int:
        return len(self._queue)

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def stop(self) -> None:
        """Ends the step that runs, and the thread. Calls that still wait are never answered."""
        with self._change:
            self._closing = True
            self._stop.set()
            self._change.notify()
        if self._thread.is_alive():
            self._thread.join()

    async def run(self, kind: Kind, items: Sequence[Item]) -> list[Numbers]:
        """Raises MoorageError; of many calls that wait, those beyond a bound are refused."""
        if self.queued >= CALLS_WAITING_MAX:
            raise Overloaded(f"{self.queued} calls wait already", retry_after_s=1)
        self.queued += 1
        try:
            await self._seats.acquire()
        finally:
            self.queued -= 1
        self.running += 1
        self.counters.calls += 1
        try:
            results = await self._computed(kind, items)
            self.counters.finished += 1
            return results
        except MoorageError:
            self.counters.failed += 1
            raise
        except asyncio.CancelledError:
            self.counters.cancelled += 1
            raise
        finally:
            self.running -= 1
            self._seats.release()

    async def _computed(self, kind: Kind, items: Sequence[Item]) -> list[Numbers]:
        call = _Call(
            kind=kind,
            items=items,
            done=asyncio.get_running_loop().create_future(),
            results=[None] * len(items),
            missing=len(items),
            coming=deque(sorted(range(len(items)), key=lambda index: -len(items[index].ids))),
        )
        with self._change:
            self._feed(call)
            self._change.notify()
        try:
            await call.done
        finally:
            self._leave(call)
        return [result for result in call.results if result is not None]

    def _feed(self, call: _Call) -> None:
        """Texts of a call into the queue, as many as may wait there. With the lock."""
        while call.coming and call.queued_tokens < WAITING_STEPS * self._batch_tokens:
            index = call.coming.popleft()
            entry = Waiting(call, index, call.kind, call.items[index])
            call.waiting.add(self._queue.add(entry))
            call.queued_tokens += entry.length

    def _leave(self, call: _Call) -> None:
        """Nothing is computed any more for a call that is over; a step for nobody ends at once."""
        with self._change:
            call.gone = True
            call.coming.clear()
            for number in call.waiting:
                self._queue.remove(number)
            call.waiting.clear()
            if self._step and all(_call(entry).gone for entry in self._step):
                self._stop.set()

    def _work(self) -> None:
        background(self._niceness)
        while self._take():
            before = time.monotonic()
            results: list[Numbers] = []
            error: MoorageError | None = None
            try:
                results = self._compute(self._step[0].kind, [entry.item for entry in self._step], self._stop)
            except Stopped:
                error = InternalError("the step was stopped")
            except MoorageError as failure:
                error = failure
            except Exception as failure:  # noqa: BLE001 (the outermost of this thread: it must live on)
                traceback.print_exc(file=sys.stderr)
                error = InternalError(f"the runtime failed: {type(failure).__name__}; its log has more")
            self._count(time.monotonic() - before)
            self._give(results, error)

    def _take(self) -> bool:
        """Wait for a step's texts. False: the end."""
        with self._change:
            while not self._closing:
                self._step = self._queue.take(self._room())
                if self._step:
                    self._stop = Stop()
                    for entry in self._step:
                        call = _call(entry)
                        call.queued_tokens -= entry.length
                        self._feed(call)
                    return True
                self._change.wait()
            return False

    def _room(self) -> int:
        """Tokens of the next step."""
        if not self._token_s:
            return self._batch_tokens
        return min(self._batch_tokens, max(SMALLEST_STEP, int(STEP_S / self._token_s)))

    def _count(self, seconds: float) -> None:
        real = sum(entry.length for entry in self._step)
        padded = len(self._step) * max(entry.length for entry in self._step)
        counters = self.counters
        counters.steps += 1
        counters.texts += len(self._step)
        counters.tokens += real
        counters.padding += padded - real
        counters.seconds += seconds
        if padded >= SMALLEST_STEP and not self._stop.is_set:
            pace = seconds / padded
            self._token_s += (pace - self._token_s) * (SMOOTHING if self._token_s else 1)

    def _give(self, results: list[Numbers], error: MoorageError | None) -> None:
        with self._change:
            step, self._step = self._step, []
        assert self._loop is not None
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_settle, step, results, error)


def _call(entry: Waiting) -> _Call:
    assert isinstance(entry.call, _Call)
    return entry.call


def _settle(step: list[Waiting], results: list[Numbers], error: MoorageError | None) -> None:
    """On the loop: each call gets its texts' results."""
    for place, entry in enumerate(step):
        call = _call(entry)
        if call.done.done():
            continue
        if error is not None:
            call.done.set_exception(error)
            continue
        call.results[entry.index] = results[place]
        call.missing -= 1
        if not call.missing:
            call.done.set_result(None)
