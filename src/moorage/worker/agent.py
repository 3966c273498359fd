"""The worker's session with its controller: hello, orders in, reports out."""

import asyncio
import random
from collections.abc import Callable
from contextlib import aclosing

import msgspec
import structlog

from moorage.errors import Conflict, Forbidden, MoorageError, NotAuthenticated, UpstreamBroken
from moorage.http.client import Client
from moorage.http.ndjson import follow
from moorage.http.refusal import Refused, check
from moorage.wire.control import Hello, Orders, ReplicaReport, Report, Welcome
from moorage.worker.settings import WorkerSettings

CALL_TIMEOUT_S = 5.0
FAREWELL_TIMEOUT_S = 1.0
SILENCE_S = 5.0
"""Orders are repeated as a heartbeat; a stream silent for so long is dead."""
RETRY_FIRST_S = 0.2
RETRY_MAX_S = 5.0
COALESCE_S = 0.02

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Agent:
    """Runs until cancelled, or until the controller says that another worker has this id (Conflict).

    A controller that is away changes nothing: what was ordered goes on, and the session is taken up when it is back.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        client: Client,
        hello: Hello,
        *,
        on_orders: Callable[[Orders], None],
        reports: Callable[[], tuple[ReplicaReport, ...]],
    ) -> None:
        self._settings = settings
        self._client = client
        self._hello = hello
        self._on_orders = on_orders
        self._reports = reports
        self._changed = asyncio.Event()
        self._retry_s = RETRY_FIRST_S
        self.connected = False

    def changed(self) -> None:
        """Report soon, not only with the next beat."""
        self._changed.set()

    async def run(self) -> None:
        while True:
            try:
                await self._session()
            except Conflict:
                raise
            except MoorageError as error:
                reason = error.message
            else:
                reason = "the controller ended the stream of orders"
            pause_s = self._retry_s * random.uniform(0.5, 1.5)
            if self.connected or self._retry_s == RETRY_FIRST_S:
                log.warning("controller away", controller=self._settings.controller, reason=reason)
            self.connected = False
            self._retry_s = min(RETRY_MAX_S, self._retry_s * 2)
            await asyncio.sleep(pause_s)

    async def farewell(self) -> None:
        """A last report; a controller that cannot take it learns from silence."""
        try:
            async with asyncio.timeout(FAREWELL_TIMEOUT_S):
                await self._report()
        except (MoorageError, TimeoutError) as error:
            log.debug("no last report", reason=str(error))

    async def _session(self) -> None:
        """Ends with the first of its two halves."""
        welcome = await self._greet()
        halves = [asyncio.create_task(self._follow()), asyncio.create_task(self._tell(welcome.report_every_s))]
        try:
            done, _ = await asyncio.wait(halves, return_when=asyncio.FIRST_COMPLETED)
            for half in done:
                half.result()
        finally:
            for half in halves:
                half.cancel()
            await asyncio.gather(*halves, return_exceptions=True)

    async def _greet(self) -> Welcome:
        body = await self._call("/internal/v1/workers", msgspec.json.encode(self._hello))
        try:
            welcome = msgspec.json.decode(body, type=Welcome)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UpstreamBroken(f"{self._settings.controller} answered hello with something else: {error}") from error
        log.debug("controller met", controller=self._settings.controller, worker=self._settings.id)
        return welcome

    async def _follow(self) -> None:
        """Hand on orders as they come; the same ones again are only a heartbeat."""
        path = f"/internal/v1/workers/{self._settings.id}/orders?incarnation={self._hello.incarnation}"
        settings, last = self._settings, None
        stream = follow(self._client, settings.controller, path, token=settings.token, silence_s=SILENCE_S)
        try:
            async with aclosing(stream) as lines:
                async for line in lines:
                    last = self._take(line, last)
        except Refused as refused:
            raise _meaning(refused) from refused

    def _take(self, line: bytes, last: Orders | None) -> Orders:
        try:
            orders = msgspec.json.decode(line, type=Orders)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UpstreamBroken(f"orders that cannot be read: {error}") from error
        self.connected = True
        self._retry_s = RETRY_FIRST_S
        if last is None or orders != last:
            self._on_orders(orders)
        return orders

    async def _tell(self, every_s: float) -> None:
        """A report each beat and soon after every change; changes close together go in one."""
        while True:
            self._changed.clear()
            await self._report()
            try:
                await asyncio.wait_for(self._changed.wait(), every_s)
            except TimeoutError:
                continue
            await asyncio.sleep(COALESCE_S)

    async def _report(self) -> None:
        report = Report(incarnation=self._hello.incarnation, replicas=self._reports())
        await self._call(f"/internal/v1/workers/{self._settings.id}/report", msgspec.json.encode(report))

    async def _call(self, path: str, body: bytes) -> bytes:
        settings = self._settings
        async with self._client.call(
            settings.controller, "POST", path, body=body, token=settings.token, timeout_s=CALL_TIMEOUT_S
        ) as reply:
            try:
                await check(reply)
            except Refused as refused:
                raise _meaning(refused) from refused
            return await reply.read()


def _meaning(refused: Refused) -> MoorageError:
    """What a refusal of the controller means to a worker."""
    said, status = refused.message, refused.answered
    if status == 409:
        return Conflict(f"the controller knows another live worker of this id: {said}. Give each worker its own id")
    if status in (401, 403):
        kind = NotAuthenticated if status == 401 else Forbidden
        return kind(f"the controller does not accept this worker's token: {said}")
    return UpstreamBroken(f"the controller answered {status}: {said}")
