"""The worker: the owner of one machine's replicas."""

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path

import structlog

from moorage import __version__
from moorage.access.private import write_private
from moorage.errors import ConfigError, Conflict
from moorage.http.client import Client
from moorage.wire.control import Hello, Machine, Orders, ReplicaReport
from moorage.worker.agent import Agent
from moorage.worker.api import Api
from moorage.worker.identity import boot_id
from moorage.worker.launching import Berth
from moorage.worker.machine import machine
from moorage.worker.pool import MachinePool
from moorage.worker.remedies import Remedies
from moorage.worker.roster import Roster
from moorage.worker.rundir import RunDirLock, open_run_dir
from moorage.worker.settings import Fetch, Installed, WorkerSettings

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Worker:
    """Construct → start → stop. `wait` returns only if the worker cannot go on by itself."""

    def __init__(
        self,
        settings: WorkerSettings,
        client: Client,
        fetch: Fetch,
        installed: Installed,
        *,
        examine: Callable[[], Machine] = machine,
    ) -> None:
        """`examine` tells what this machine has for replicas; it blocks."""
        self._settings = settings
        self._client = client
        self._fetch = fetch
        self._installed = installed
        self._examine = examine
        self._lock: RunDirLock | None = None
        self._roster: Roster | None = None
        self._agent: Agent | None = None
        self._api: Api | None = None
        self._session: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Adopt what runs, open the API, meet the controller (in the background, as long as it takes).

        Raises ConfigError for directories or a socket that cannot be used, Conflict when another worker uses them.
        """
        settings = self._settings
        run_dir = await asyncio.to_thread(open_run_dir, settings.run_dir)
        await asyncio.to_thread(_open_log_dir, settings.log_dir)
        self._lock = RunDirLock(run_dir)
        self._lock.acquire()
        here = await asyncio.to_thread(self._examine)
        berth = Berth(
            settings=settings,
            run_dir=run_dir,
            machine=here,
            client=self._client,
            fetch=self._fetch,
            installed=self._installed,
            pool=MachinePool(here),
            remedies=Remedies(run_dir),
        )
        self._roster = Roster(berth, self._changed)
        hello = Hello(
            worker=settings.id,
            incarnation=await asyncio.to_thread(_incarnation, run_dir),
            version=__version__,
            address=f"unix:{settings.api_socket}",
            machine=here,
        )
        self._agent = Agent(settings, self._client, hello, on_orders=self._ordered, reports=self._roster.reports)
        api = Api(
            settings.api_socket,
            settings.token,
            reports=self._roster.reports,
            ready=lambda: self._agent is not None and self._agent.connected,
            log_of=lambda replica: berth.log(replica) if self._roster and self._roster.knows(replica) else None,
        )
        await api.start()
        self._api = api
        await self._roster.adopt()
        self._session = asyncio.create_task(self._agent.run(), name="worker session")

    async def wait(self) -> None:
        """Until the controller refuses this worker: raises Conflict. The owner then stops it."""
        if self._session is not None:
            await asyncio.shield(self._session)

    async def stop(self, grace_s: float) -> None:
        """Drain and end all engines, tell the controller, close. Idempotent, and works after a failed start."""
        if self._roster is not None:
            await self._roster.stop(grace_s)
        if self._session is not None:
            session, self._session = self._session, None
            session.cancel()
            (outcome,) = await asyncio.gather(session, return_exceptions=True)
            if self._agent is not None and not isinstance(outcome, Conflict):
                await self._agent.farewell()
        if self._api is not None:
            api, self._api = self._api, None
            await api.stop()
        if self._lock is not None:
            self._lock.release()

    def _ordered(self, orders: Orders) -> None:
        if self._roster is not None:
            self._roster.reconcile(orders.replicas)

    def _changed(self, report: ReplicaReport) -> None:
        if self._agent is not None:
            self._agent.changed()


def _incarnation(run_dir: Path) -> str:
    """The same one for whoever holds this run directory until the machine restarts.

    A worker that comes back after kill -9 is the same to the controller, which would otherwise refuse it until the
    lease of the killed one has lapsed; the lock on the directory keeps two from being it at once.
    """
    path = run_dir / "incarnation"
    try:
        boot, _, kept = path.read_text().partition(" ")
    except OSError:
        boot, kept = "", ""
    if boot == boot_id() and kept:
        return kept
    fresh = secrets.token_hex(16)
    write_private(path, f"{boot_id()} {fresh}".encode())
    return fresh


def _open_log_dir(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the log directory {str(path)!r} cannot be made ({error.strerror}); name one this user may write to"
        ) from error
