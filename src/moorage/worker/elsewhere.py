"""A replica that runs elsewhere: a server with an address, watched from here, never started or stopped."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import NamedTuple

import structlog
from msgspec.structs import replace
from pydantic import ValidationError

from moorage.config.model import ModelSpec
from moorage.core.replica import allowed, fingerprint
from moorage.engines import url as adapter
from moorage.errors import EngineError, MoorageError, UpstreamError
from moorage.http.client import Client, PendingReply, Reply
from moorage.wire.control import ReplicaOrder, ReplicaReport
from moorage.wire.names import ReplicaState, Task

WATCH_EVERY_S = 5.0
AGAIN_S = 1.0
"""After the first check that failed: one may be a hiccup, two are not."""
RETRY_MAX_S = 30.0
CHECK_TIMEOUT_S = 10.0
ANSWER_CHARS = 300
ANSWER_BYTES_MAX = 4 * 1024 * 1024
NO_LISTING = (404, 405, 501)

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Seen(NamedTuple):
    """What the server told of itself and the model."""

    listed: adapter.Listed | None
    """None where it has no listing."""
    server: str


class ElsewhereReplica:
    """Construct → start → stop, as `worker.replica.Replica`. `on_change` is called after every change of its report."""

    def __init__(self, order: ReplicaOrder, client: Client, on_change: Callable[[ReplicaReport], None]) -> None:
        self._client = client
        self._on_change = on_change
        self._order = order
        self._report = ReplicaReport(
            replica=order.replica,
            generation=0,
            state="scheduled",
            reason="ordered by the controller",
            since=time.time(),
            engine=adapter.NAME,
        )
        self._task: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        return self._order.replica

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._live(), name=f"replica {self.id}")

    def change(self, order: ReplicaOrder) -> None:
        """Take a new order. What is under way at the server is not touched by it."""
        old, self._order = self._order, order
        same = (fingerprint(order.model), order.api_key) == (fingerprint(old.model), old.api_key)
        if (same and order.attempt <= old.attempt) or self._task is None:
            return
        self._task.cancel()
        self._set("stopped", "its model's settings changed")
        self._task = asyncio.create_task(self._live(), name=f"replica {self.id}")

    async def stop(self, grace_s: float, reason: str) -> None:
        """Watch no more. Calls under way end as they will: nothing here has a part in them."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        if self._report.state != "stopped":
            self._set("stopped", reason)

    async def settled(self) -> None:
        """At once: there is nothing of earlier days to adopt."""

    def report(self) -> ReplicaReport:
        return self._report

    async def _live(self) -> None:
        failures = 0
        while True:
            try:
                seen = await self._check()
                failures = 0
                if self._report.state != "ready":
                    self._become_ready(seen)
            except Exception as error:
                # A supervision loop: whatever a server answers must not end the watch over it.
                if not isinstance(error, MoorageError):
                    log.exception("a server elsewhere could not be checked", replica=self.id)
                failures += 1
                self._fail(error, failures)
            await asyncio.sleep(_pause_s(failures, ready=self._report.state == "ready"))

    async def _check(self) -> Seen:
        """Raises EngineError for what somebody has to correct, another MoorageError for what may pass by itself."""
        if self._report.state in ("scheduled", "stopped"):
            self._set("starting", f"asks {self._order.model.get('url')} for it")
        spec = self._spec()
        assert spec.url is not None
        where, name = adapter.place(spec.url), adapter.served_name(spec)
        async with self._call(where, "GET", where.models) as reply:
            content, server = await _read(reply), reply.headers.get("server", "")
            if reply.status == 200 and (found := adapter.listed(content, name)) is not None:
                return Seen(found, server)
            if reply.status not in (200, *NO_LISTING):
                raise self._refusal(reply, content, f"GET {where.models}")
        if self._report.state != "ready":
            await self._try_call(spec, where)
        return Seen(None, server)

    async def _try_call(self, spec: ModelSpec, where: adapter.Place) -> None:
        """Where there is no listing. Once, not at every check: it may cost somebody money."""
        task: Task = "generate" if spec.task == "auto" else spec.task
        if task not in adapter.PROBES:
            raise EngineError(f"it has no list of models at {where.models}, and a model to {task} cannot be tried")
        path, fields = adapter.PROBES[task]
        path = where.paths.get(path, path)
        body = json.dumps({"model": adapter.served_name(spec), **fields}).encode()
        async with self._call(where, "POST", path, body) as reply:
            content = await _read(reply)
            if not 200 <= reply.status < 300:
                raise self._refusal(reply, content, f"POST {path}")
            if not _is_object(content):
                raise EngineError(
                    f"it answered POST {path} with {reply.status} and no JSON but {self._shown(content)!r}: no server "
                    "of models is there; write the right address"
                )

    def _call(self, where: adapter.Place, method: str, path: str, body: bytes | None = None) -> PendingReply:
        key = self._order.api_key
        return self._client.call(where.address, method, path, body=body, token=key, timeout_s=CHECK_TIMEOUT_S)

    def _refusal(self, reply: Reply, content: bytes, what: str) -> MoorageError:
        said = f"it answered {what} with {reply.status} {self._shown(content)}".strip()
        if reply.status in (401, 403):
            return EngineError(f"it refuses the key: set models[].api_key to one that it knows ({said})")
        if 300 <= reply.status < 400:
            to = reply.headers.get("location", "nowhere")
            return EngineError(
                f"it sends callers on to {to!r}, which nobody follows with a key: write the right address"
            )
        if 400 <= reply.status < 500 and reply.status not in (408, 429):
            return EngineError(said)
        return UpstreamError(said)

    def _shown(self, content: bytes) -> str:
        """The beginning of an answer. Some servers repeat the key they were given, and reasons are for all to read."""
        text, key = content.decode(errors="replace"), self._order.api_key
        return (text.replace(key, "***") if key else text)[:ANSWER_CHARS]

    def _become_ready(self, seen: Seen) -> None:
        spec = self._spec()
        assert spec.url is not None
        where = adapter.place(spec.url)
        listed = seen.listed or adapter.Listed(task=None, max_model_len=None)
        why = adapter.why(spec, listed)
        if self._report.state == "failed":
            self._set("starting", f"{spec.url} is back")
        generation = self._report.generation + 1
        self._report = replace(
            self._report,
            generation=generation,
            restarts=generation - 1,
            why=why,
            address=where.address,
            token=self._order.api_key,
            served_name=adapter.served_name(spec),
            task=(listed.task or "generate") if spec.task == "auto" else spec.task,
            capacity=spec.options.max_sequences or adapter.CAPACITY,
            max_model_len=spec.options.max_model_len or listed.max_model_len,
            cancels_unary=adapter.cancels_unary(seen.server),
            manners=adapter.manners(where, seen.server),
        )
        self._set("ready", f"{spec.url} {'lists it' if seen.listed else 'answered a call for it'}")

    def _fail(self, error: Exception, failures: int) -> None:
        if self._report.state == "ready" and failures < 2 and not isinstance(error, EngineError):
            return
        said = error.message if isinstance(error, MoorageError) else f"unexpected {type(error).__name__}: {error}"
        retry_at = time.time() + _pause_s(failures, ready=False)
        self._set("failed", f"{self._order.model.get('url')}: {said}", retry_at)

    def _spec(self) -> ModelSpec:
        try:
            return ModelSpec.model_validate(self._order.model)
        except ValidationError as error:
            raise EngineError(f"this worker does not understand the order for {self.id!r}: {error}") from error

    def _set(self, state: ReplicaState, reason: str, retry_at: float | None = None) -> None:
        old = self._report
        if not allowed(old.state, state):
            log.error("impossible change of state", replica=self.id, old=old.state, new=state)
        since = old.since if state == old.state else time.time()
        self._report = replace(old, state=state, reason=reason, since=since, retry_at=retry_at)
        if (state, reason) != (old.state, old.reason):
            say = {"failed": log.warning, "ready": log.info}.get(state, log.debug)
            say(f"{self.id} is {state}", reason=reason)
        self._on_change(self._report)


def runs_elsewhere(order: ReplicaOrder) -> bool:
    return order.model.get("url") is not None


def _pause_s(failures: int, *, ready: bool) -> float:
    """Until the next check."""
    if ready:
        return AGAIN_S if failures else WATCH_EVERY_S
    return min(RETRY_MAX_S, AGAIN_S * 2.0 ** min(failures - 1, 16))


async def _read(reply: Reply) -> bytes:
    content = bytearray()
    async for chunk in reply.chunks():
        content += chunk
        if len(content) > ANSWER_BYTES_MAX:
            raise UpstreamError(f"it answers with more than {ANSWER_BYTES_MAX} bytes where it was asked for models")
    return bytes(content)


def _is_object(content: bytes) -> bool:
    try:
        return isinstance(json.loads(content), dict)
    except (ValueError, RecursionError):
        return False
