"""One replica on this worker: one task that downloads, starts, watches, restarts and stops its engine."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog
from msgspec.structs import replace
from pydantic import ValidationError

from moorage.config.model import ModelSpec
from moorage.core.remedies import Remedy, summary
from moorage.core.replica import Restarts, allowed, fingerprint, loras
from moorage.errors import EngineError, MoorageError
from moorage.wire.control import Load, Progress, ReplicaOrder, ReplicaReport
from moorage.wire.names import ReplicaState
from moorage.worker.diagnosis import explain, failed_start, failure, heals_by_itself
from moorage.worker.files import local_path, signature
from moorage.worker.launching import Berth, Running, adopt_engine, become_ready, reachable, start_engine
from moorage.worker.loras import Loras, fetch
from moorage.worker.record import Record, read_record, remove_record, write_record
from moorage.worker.scrape import scrape
from moorage.worker.sweep import clear, kill_replica

OBSERVE_EVERY_S = 1.0
PROGRESS_EVERY_S = 0.2
DRAIN_EVERY_S = 0.2
SETTLE_S = 0.3
"""What news of a drain needs to reach the gateways: until then they may still send calls."""
TERM_GRACE_S = 5.0
FAILED_GRACE_S = 1.0
"""For an engine that never became ready and serves nobody."""
WATCH_FILE_S = 2.0

log: structlog.stdlib.BoundLogger = structlog.get_logger()


@dataclass(frozen=True)
class _Now:
    state: ReplicaState
    reason: str
    since: float
    retry_at: float | None = None


class Replica:
    """Construct → start → stop. `on_change` is called after every change that a report would show."""

    def __init__(self, order: ReplicaOrder, berth: Berth, on_change: Callable[[ReplicaReport], None]) -> None:
        self._order = order
        self._berth = berth
        self._on_change = on_change
        self._directory = berth.directory(order.replica)
        self._now = _Now("scheduled", "ordered by the controller", time.time())
        self._progress: Progress | None = None
        self._load = Load()
        self._running: Running | None = None
        self._loras: Loras | None = None
        """Of the running engine, while it is ready."""
        self._last: Record | None = None
        """Of the latest engine, whether it still runs or not."""
        self._restarts = Restarts(backoff_s=berth.settings.backoff_s)
        self._restarted = 0
        self._watched: Path | None = None
        self._nudge = asyncio.Event()
        self._replan = asyncio.Event()
        self._stop_grace_s: float | None = None
        self._stop_reason = ""
        self._settled = asyncio.Event()
        self._fetched: tuple[ModelSpec, Path, tuple[tuple[str, int, int, int], ...] | None] | None = None
        """What for, where, and how the file was, when a start with it succeeded."""
        self._told_progress_at = 0.0
        self._task: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        return self._order.replica

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._supervise(), name=f"replica {self.id}")

    def change(self, order: ReplicaOrder) -> None:
        """Take a new order: another engine where it needs one, another try where it lifts a stop."""
        old, self._order = self._order, order
        if fingerprint(order.model) != fingerprint(old.model):
            self._replan.set()
        elif loras(order.model) != loras(old.model):
            if self._loras is None:
                self._replan.set()
            else:
                self._loras.poke()
        elif order.attempt > old.attempt:
            self._restarts = self._restarts.forgotten()
            self._nudge.set()

    async def stop(self, grace_s: float, reason: str) -> None:
        """Drain for at most the grace, end the engine, leave nothing behind. A second call can only make it sooner."""
        self._stop_grace_s = grace_s if self._stop_grace_s is None else min(grace_s, self._stop_grace_s)
        self._stop_reason = reason
        self._replan.set()
        if self._task is not None:
            await asyncio.shield(self._task)

    async def settled(self) -> None:
        """Until it is known whether an engine of earlier days was adopted."""
        await self._settled.wait()

    def report(self) -> ReplicaReport:
        running, now, last = self._running, self._now, self._last
        served = tuple(self._loras.served) if self._loras else ()
        known = ReplicaReport(
            replica=self.id,
            generation=last.generation if last else 0,
            engine=last.engine if last else "",
            why=last.why if last else (),
            state=now.state,
            reason=now.reason,
            since=now.since,
            retry_at=now.retry_at,
            loras=served,
            restarts=self._restarted,
            progress=self._progress,
            load=self._load,
        )
        return known if running is None else reachable(known, running)

    async def _supervise(self) -> None:
        """One life per order; an order that needs another engine ends the old life first."""
        while True:
            life = asyncio.create_task(self._live(), name=f"life of {self.id}")
            await self._replan.wait()
            self._replan.clear()
            life.cancel()
            await asyncio.wait([life])
            await self._put_down(self._stop_reason or "its model's settings changed")
            if self._stop_grace_s is not None:
                return
            self._restarts, self._restarted, self._fetched = self._restarts.forgotten(), 0, None

    async def _live(self) -> None:
        while True:
            try:
                delay_s = await self._generation()
            except Exception as error:
                # A supervision loop: adapters are other people's code, and one of them must not take the others along.
                log.exception("a replica failed in a way nobody foresaw", replica=self.id)
                delay_s = await self._start_failed(EngineError(f"unexpected {type(error).__name__}: {error}"))
            await self._pause(delay_s)
            self._restarted += 1

    async def _generation(self) -> float | None:
        """One engine from start to end. Returns the seconds until the next; None: when something has changed."""
        began = time.monotonic()
        tried: tuple[Remedy, ...] = ()
        while True:
            try:
                adopted = await self._start(tried)
                break
            except (MoorageError, OSError) as error:
                more = await self._another_try(error)
                if more is None:
                    return await self._start_failed(error)
                tried = more
        took_s = time.monotonic() - began
        how = f"adopted: its engine outlived its worker (pid {adopted})" if adopted else f"ready in {took_s:.1f} s"
        assert self._running is not None
        self._loras = Loras(
            self._berth,
            self._running,
            lambda: loras(self._order.model),
            on_change=self._loras_changed,
            restart=self._replan.set,
        )
        self._set("ready", how + self._changes())
        return await self._watch(self._running, self._loras)

    async def _start(self, tried: tuple[Remedy, ...]) -> int | None:
        """Until an engine answers; returns its pid if it was adopted."""
        order = self._order
        try:
            spec = ModelSpec.model_validate(order.model)
        except ValidationError as error:
            raise EngineError(f"this worker does not understand the order for {self.id!r}: {error}") from error
        adopted = await self._adopt(spec)
        self._settled.set()
        if adopted is not None:
            return adopted
        path = await self._fetch(spec)
        beside = await fetch(self._berth, spec.name, spec.options.lora, self._progressed)
        self._progress = None
        self._set("starting", "reads the model's file and chooses an engine")
        running = await start_engine(self._berth, order, spec, path, beside, tried)
        self._running, self._last = running, running.record
        self._set("starting", f"{running.engine.name} loads the model (pid {running.link.pid}){self._changes()}")
        await become_ready(self._berth, running, spec.start_timeout)
        await self._remember_ready(running)
        self._fetched = (spec, path, await asyncio.to_thread(signature, path))
        return None

    async def _adopt(self, spec: ModelSpec) -> int | None:
        record = await asyncio.to_thread(read_record, self._directory)
        running = None
        if record is not None and fingerprint(record.order.model) == fingerprint(self._order.model):
            running = await adopt_engine(self._berth, record)
        if record is None or running is None:
            await asyncio.to_thread(kill_replica, self._directory)
            await asyncio.to_thread(remove_record, self._directory)
            return None
        self._running, self._last = running, record
        self._settled.set()
        if not record.ready:
            self._set("starting", f"adopted while it loads the model (pid {running.link.pid})")
            await become_ready(self._berth, running, spec.start_timeout)
            await self._remember_ready(running)
        return running.link.pid

    async def _remember_ready(self, running: Running) -> None:
        record = running.record
        await asyncio.to_thread(write_record, self._directory, replace(record, ready=True))
        await asyncio.to_thread(self._berth.remedies.note_success, self.id)
        if record.remedies and not record.remembered and record.case is not None:
            keep = self._berth.remedies.keep
            await asyncio.to_thread(keep, record.case, record.order.model["name"], record.engine, record.remedies)

    async def _another_try(self, error: MoorageError | OSError) -> tuple[Remedy, ...] | None:
        """All remedies to start with now, where the log tells of one that is safe; the failed engine is gone then.

        None leaves everything to `_start_failed`. A remembered remedy that did not work is forgotten.
        """
        running = self._running
        if running is None or heals_by_itself(error):
            return None
        await running.link.stop(FAILED_GRACE_S)
        record = running.record
        if record.remembered and record.case is not None:
            await asyncio.to_thread(self._berth.remedies.forget, record.case)
        seen = await asyncio.to_thread(explain, self._berth, self.id, failed_start(error), running)
        remedy = seen.decision.remedy
        if remedy is None:
            return None
        await self._lay_down(running)
        log.warning(f"{self.id} is tried again", remedy=str(remedy), failed=seen.text)
        self._set("starting", f"tries again with {remedy}")
        return (*record.remedies, remedy)

    def _loras_changed(self) -> None:
        """Said in the reason of a state that stays as it is."""
        beside, plain = self._loras, self._now.reason.partition("; LoRA adapter ")[0]
        if beside is not None and self._now.state == "ready":
            self._set("ready", plain + "".join(f"; {why}" for why in beside.trouble.values()))

    def _changes(self) -> str:
        remedies = self._last.remedies if self._last else ()
        return f", with {summary(remedies)}" if remedies else ""

    async def _fetch(self, spec: ModelSpec) -> Path:
        if self._fetched is not None and self._fetched[0] == spec:
            _, path, known = self._fetched
            if await asyncio.to_thread(signature, path) == known:
                return path  # a crash is no reason to check gigabytes again
        self._watched = local_path(spec.source)
        self._set("downloading" if self._watched is None else "starting", "looks for the model's file")
        try:
            path = await self._berth.fetch(spec.source, spec.sha256, self._progressed)
        finally:
            self._progress = None
        self._watched = path
        return path

    def _progressed(self, progress: Progress) -> None:
        self._progress = progress
        if time.monotonic() - self._told_progress_at >= PROGRESS_EVERY_S:
            self._told_progress_at = time.monotonic()
            self._on_change(self.report())

    async def _watch(self, running: Running, beside: Loras) -> float | None:
        """Until the engine ends by itself."""
        ready_at = time.monotonic()
        tasks = [
            asyncio.create_task(self._observe(running), name=f"load of {self.id}"),
            asyncio.create_task(beside.run(), name=f"LoRA adapters of {self.id}"),
        ]
        try:
            ended = await asyncio.shield(running.link.exited)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self._loras = None
        self._restarts, delay_s = self._restarts.crashed(time.monotonic() - ready_at)
        seen = await asyncio.to_thread(explain, self._berth, self.id, f"crashed: {ended}", running)
        await self._lay_down(running)
        self._set("failed", seen.text, time.time() + delay_s)
        return delay_s

    async def _observe(self, running: Running) -> None:
        while True:
            began = time.monotonic()
            try:
                self._load = await scrape(self._berth.client, running.engine, running.launch)
            except MoorageError:
                self._load = Load()  # unknown: an old number would be taken for a true one
            except Exception:
                log.exception("the engine's metrics cannot be read", replica=self.id)
                self._load = Load()
            await asyncio.sleep(max(0.1, OBSERVE_EVERY_S - (time.monotonic() - began)))

    async def _start_failed(self, error: MoorageError | OSError) -> float | None:
        running, self._fetched = self._running, None
        self._settled.set()
        if running is None:
            self._berth.pool.release(self.id)
        if running is not None:
            await running.link.stop(FAILED_GRACE_S)
        if heals_by_itself(error):
            self._restarts, delay_s = self._restarts.delayed()
        else:
            self._restarts, delay_s = self._restarts.start_failed()
        seen = await asyncio.to_thread(explain, self._berth, self.id, failed_start(error), running)
        reason = seen.text
        if running is not None:
            await self._lay_down(running)
        if delay_s is None:
            tries = self._restarts.failed_starts
            reason = (
                f"given up after {tries} failed starts in a row, until its settings or file change. The last {reason}"
            )
        await asyncio.to_thread(
            self._berth.remedies.note_failure, self.id, failure(self._order, self._last, seen, reason)
        )
        self._set("failed", reason, None if delay_s is None else time.time() + delay_s)
        return delay_s

    async def _pause(self, delay_s: float | None) -> None:
        """Until the delay is over, the file changed, or an order lifts the stop."""
        until = None if delay_s is None else time.monotonic() + delay_s
        before = await asyncio.to_thread(signature, self._watched)
        while until is None or time.monotonic() < until:
            limit_s = WATCH_FILE_S if until is None else min(WATCH_FILE_S, max(0.0, until - time.monotonic()))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._nudge.wait(), limit_s)
            if self._nudge.is_set():
                self._nudge.clear()
                return
            if await asyncio.to_thread(signature, self._watched) != before:
                self._restarts = self._restarts.forgotten()
                return

    async def _put_down(self, reason: str) -> None:
        """From whatever state to stopped."""
        running = self._running
        if running is None:
            await asyncio.to_thread(kill_replica, self._directory)  # a start that was cut off half way
            self._berth.pool.release(self.id)
        else:
            if self._now.state == "ready":
                self._set("draining", reason)
                await self._drain(running)
            ended = await running.link.stop(min(TERM_GRACE_S, max(1.0, self._grace_s)))
            if ended.by == "stuck":
                reason = f"{reason}; {ended}"
            await self._lay_down(running)
        await asyncio.to_thread(remove_record, self._directory)
        self._set("stopped", reason)

    @property
    def _grace_s(self) -> float:
        return self._berth.settings.drain_s if self._stop_grace_s is None else self._stop_grace_s

    async def _drain(self, running: Running) -> None:
        """Until the engine says it has nothing to do, at most for the grace."""
        began = time.monotonic()
        await asyncio.sleep(min(SETTLE_S, self._grace_s))
        while time.monotonic() - began < self._grace_s and not running.link.exited.done():
            with contextlib.suppress(MoorageError):
                self._load = await scrape(self._berth.client, running.engine, running.launch, timeout_s=1.0)
                if self._load.running == 0 and not self._load.queued:
                    return
            await asyncio.sleep(DRAIN_EVERY_S)

    async def _lay_down(self, running: Running) -> None:
        """Forget an engine that has ended, and what its keeper could not remove if that was killed."""
        await running.link.close()
        await self._berth.client.forget(running.launch.address)
        self._berth.pool.release(self.id)
        await asyncio.to_thread(_clean_up, self._directory, running)
        self._running, self._load = None, Load()

    def _set(self, state: ReplicaState, reason: str, retry_at: float | None = None) -> None:
        if not allowed(self._now.state, state):
            log.error("impossible change of state", replica=self.id, old=self._now.state, new=state)
        since = self._now.since if state == self._now.state else time.time()
        self._now = _Now(state, reason, since, retry_at)
        say = {"failed": log.warning, "ready": log.info}.get(state, log.debug)
        say(f"{self.id} is {state}", reason=reason)
        self._on_change(self.report())


def _clean_up(directory: Path, running: Running) -> None:
    for name in running.launch.files:
        Path(name).unlink(missing_ok=True)
    clear(directory)
