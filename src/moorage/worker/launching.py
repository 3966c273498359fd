"""From an order to an engine that answers: facts, choice, files, keeper, readiness."""

import asyncio
import contextlib
import os
import secrets
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from moorage import __version__
from moorage.config.model import ModelSpec
from moorage.core.devices import Hold, environment, wish_of
from moorage.core.ports import Engine, Launch, LaunchOrder
from moorage.core.remedies import Remedy, summary, with_remedies
from moorage.core.replica import fingerprint
from moorage.engines.choose import Choice, choose, offered, pinned
from moorage.engines.registry import load
from moorage.engines.versions import version_of
from moorage.errors import DeadlineExceeded, EngineError, UpstreamError
from moorage.http.client import Client
from moorage.models.files import facts as read_facts
from moorage.wire.control import Machine, ReplicaOrder, ReplicaReport
from moorage.worker.environment import clean_environment
from moorage.worker.files import signature
from moorage.worker.keepers import KeeperLink, KeeperOrder
from moorage.worker.logs import log_path
from moorage.worker.outofmemory import kills
from moorage.worker.pool import MachinePool
from moorage.worker.record import Record, record_path, write_record
from moorage.worker.remedies import Case, Remedies, case
from moorage.worker.rundir import next_generation, replica_dir
from moorage.worker.settings import Fetch, Installed, WorkerSettings

HEALTH_TIMEOUT_S = 5.0
POLL_S = 0.05
POLL_MAX_S = 0.5
ANSWER_CHARS = 300


@dataclass(frozen=True, kw_only=True)
class Berth:
    """What all replicas of a worker share."""

    settings: WorkerSettings
    run_dir: Path
    machine: Machine
    client: Client
    fetch: Fetch
    installed: Installed
    pool: MachinePool
    remedies: Remedies

    def directory(self, replica: str) -> Path:
        return replica_dir(self.run_dir, replica)

    def log(self, replica: str) -> Path:
        return log_path(self.settings.log_dir, replica)


@dataclass(frozen=True, kw_only=True)
class Running:
    """One generation: an engine process that is held by its keeper."""

    record: Record
    engine: Engine
    link: KeeperLink
    kills: int | None = None
    """How often the kernel had killed for want of memory before this engine ran."""

    @property
    def launch(self) -> Launch:
        return self.record.launch


def reachable(report: ReplicaReport, running: Running) -> ReplicaReport:
    """The report with where the engine is and how calls are put to it."""
    launch, engine = running.launch, running.engine
    return replace(
        report,
        engine=engine.name,
        address=launch.address,
        token=launch.token,
        served_name=launch.served_name,
        task=launch.task,
        capacity=launch.capacity,
        max_model_len=launch.max_model_len,
        cancels_unary=engine.cancels_unary,
        echoes_model=engine.echoes_model,
        manners=launch.manners,
        pid=running.link.pid,
        memory_bytes=launch.memory.started_bytes if launch.memory is not None else 0,
    )


async def start_engine(
    berth: Berth,
    order: ReplicaOrder,
    spec: ModelSpec,
    path: Path,
    loras: Mapping[str, str],
    tried: tuple[Remedy, ...] = (),
) -> Running:
    """Start an engine for a model file; it is not ready yet. Raises MoorageError or OSError.

    With the remedies of tries that failed just now; without any, with those that worked for an earlier start.
    """
    facts = await asyncio.to_thread(read_facts, path)
    machine = replace(berth.machine, installations=await asyncio.to_thread(berth.installed))
    choice = await asyncio.to_thread(choose, spec, facts, machine)
    engine = choice.engine
    about = await asyncio.to_thread(_case, order, spec, path, offered(machine, spec), choice)
    remedies = tried or await asyncio.to_thread(berth.remedies.recall, about)
    spec = spec.model_copy(update={"options": with_remedies(spec.options, remedies)})
    hold = _hold(berth, order.replica, spec, choice)
    directory = berth.directory(order.replica)
    generation = await asyncio.to_thread(next_generation, directory)
    own_socket = directory / "engine.sock"
    launch = await asyncio.to_thread(
        engine.launch,
        LaunchOrder(
            replica=order.replica,
            model=spec,
            facts=facts,
            machine=offered(machine, spec),
            socket=str(own_socket),
            port=free_port(),
            token=secrets.token_urlsafe(32),
            spool_dir=str(berth.settings.spool_dir or ""),
            loras=loras,
            devices=hold.devices if hold else (),
        ),
    )
    berth.pool.reserve(order.replica, launch.memory)
    record = Record(
        order=order,
        generation=generation,
        engine=engine.name,
        adapter=engine.name if spec.engine == "auto" else spec.engine,
        facts=facts,
        launch=launch,
        why=(*choice.why, *_devices_why(hold), *_remedies_why(remedies, remembered=not tried), *launch.why),
        hold=hold,
        case=about,
        remedies=remedies,
        remembered=bool(remedies) and not tried,
    )
    await asyncio.to_thread(_write_files, directory, own_socket, launch, record)
    keeper = KeeperOrder(
        argv=list(launch.argv),
        env={**clean_environment(), **_visible(berth, hold), **launch.env, **spec.options.env},
        cwd=str(directory),
        log=str(berth.log(order.replica)),
        generation=generation,
        lease_s=berth.settings.keeper_lease_s,
        remove=[*launch.files, str(own_socket), str(record_path(directory))],
    )
    before = await asyncio.to_thread(kills)
    return Running(record=record, engine=engine, link=await KeeperLink.start(directory, keeper), kills=before)


async def adopt_engine(berth: Berth, record: Record) -> Running | None:
    """The engine that a record tells of, if it still runs under its keeper."""
    engine = await asyncio.to_thread(load, pinned(record.adapter)[0])
    link = await KeeperLink.adopt(berth.directory(record.order.replica), berth.settings.keeper_lease_s)
    if link is None:
        return None
    if link.generation != record.generation:
        await link.close()
        return None
    berth.pool.restore(record.order.replica, record.hold, record.launch.memory)
    return Running(record=record, engine=engine, link=link, kills=await asyncio.to_thread(kills))


def _case(order: ReplicaOrder, spec: ModelSpec, path: Path, offer: Machine, choice: Choice) -> Case:
    """What remedies of this start are remembered for."""
    return case(
        model=spec.name,
        fingerprint=fingerprint(order.model),
        files=(spec.source, signature(path)),
        engine=choice.engine.name,
        version=f"{version_of(choice.engine.name, offer)} of Moorage {__version__}",
        devices=[device.uuid or device.name for device in offer.devices] if choice.accelerator else [],
    )


def _remedies_why(remedies: tuple[Remedy, ...], *, remembered: bool) -> tuple[str, ...]:
    if not remedies:
        return ()
    return (f"{'as an earlier start needed it: ' if remembered else ''}{summary(remedies)}",)


def _hold(berth: Berth, replica: str, spec: ModelSpec, choice: Choice) -> Hold | None:
    """The accelerators of a replica whose engine computes on them. Raises EngineError where they cannot be had."""
    if not choice.accelerator or spec.options.devices == ():
        return None
    return berth.pool.take(replica, wish_of(spec))


def _devices_why(hold: Hold | None) -> tuple[str, ...]:
    if hold is None:
        return ()
    names = ", ".join(f"{device.index} ({device.name})" for device in hold.devices)
    return (f"device {names}: {hold.share:.0%} of its memory",)


def _visible(berth: Berth, hold: Hold | None) -> dict[str, str]:
    """No engine sees a device that it was not given."""
    return environment(hold.devices if hold else ()) if berth.machine.devices else {}


async def become_ready(berth: Berth, running: Running, timeout_s: float) -> None:
    """Until the engine answers a real call. Raises EngineError with what went wrong."""
    probing = asyncio.create_task(_probe(berth.client, running, timeout_s, berth.settings.probe_timeout_s))
    try:
        await asyncio.wait({probing, running.link.exited}, return_when=asyncio.FIRST_COMPLETED)
        if not probing.done():
            raise EngineError(str(running.link.exited.result()))
        await probing
    finally:
        probing.cancel()
        await asyncio.gather(probing, return_exceptions=True)


async def _probe(client: Client, running: Running, timeout_s: float, probe_timeout_s: float) -> None:
    launch, probe = running.launch, running.engine.probe(running.launch)
    deadline = time.monotonic() + timeout_s
    last, pause_s = "it never listened", POLL_S
    # Not every engine has /health; where it has none, the real call alone decides.
    steps = [("GET", "/health", None, HEALTH_TIMEOUT_S), (probe.method, probe.path, probe.body, probe_timeout_s)]
    while steps:
        method, path, body, limit_s = steps[0]
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise EngineError(f"it was not ready within {timeout_s:g} s (models[].start_timeout): {last}")
        try:
            async with client.call(
                launch.address,
                method,
                path,
                body=body,
                headers={"Content-Type": probe.content_type} if body is not None else None,
                token=launch.token,
                timeout_s=min(limit_s, left_s),
            ) as reply:
                text = (await reply.read())[:ANSWER_CHARS].decode(errors="replace")
                status = reply.status
        except (UpstreamError, DeadlineExceeded) as error:
            last, status, text = error.message, 0, ""
        if 200 <= status < 300 or (status == 404 and path == "/health"):
            steps.pop(0)
            continue
        if status:
            last = f"the last answer to {method} {path} was {status} {text}".strip()
        if 400 <= status < 500 and path != "/health":
            raise EngineError(f"it refused the readiness call: {last}")
        await asyncio.sleep(pause_s)
        pause_s = min(POLL_MAX_S, pause_s * 1.5)


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _write_files(directory: Path, own_socket: Path, launch: Launch, record: Record) -> None:
    """What the engine reads at its start, by this user only; the keeper removes it when the engine is gone."""
    own_socket.unlink(missing_ok=True)
    for name, content in launch.files.items():
        path = Path(name)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(content)
    write_record(directory, record)
