"""From an order to an engine that answers: facts, choice, files, keeper, readiness."""

import asyncio
import contextlib
import os
import secrets
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import structlog
from msgspec.structs import replace

from moorage.config.model import ModelSpec
from moorage.core.devices import Hold, Wish, environment
from moorage.core.ports import Diagnosis, Engine, Launch, LaunchOrder
from moorage.core.replica import fingerprint
from moorage.engines.choose import Choice, choose, offered, pinned
from moorage.engines.registry import load
from moorage.errors import DeadlineExceeded, EngineError, UpstreamError
from moorage.http.client import Client
from moorage.models.files import facts as read_facts
from moorage.wire.control import Machine, ReplicaOrder
from moorage.worker.environment import clean_environment
from moorage.worker.keepers import KeeperLink, KeeperOrder
from moorage.worker.logs import last_start, log_path
from moorage.worker.pool import DevicePool
from moorage.worker.record import Record, record_path, write_record
from moorage.worker.rundir import next_generation, replica_dir
from moorage.worker.settings import Fetch, Installed, WorkerSettings

HEALTH_TIMEOUT_S = 5.0
POLL_S = 0.05
POLL_MAX_S = 0.5
REASON_LINES = 10
REASON_LINE_CHARS = 300

log: structlog.stdlib.BoundLogger = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Berth:
    """What all replicas of a worker share."""

    settings: WorkerSettings
    run_dir: Path
    machine: Machine
    client: Client
    fetch: Fetch
    installed: Installed
    pool: DevicePool

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

    @property
    def launch(self) -> Launch:
        return self.record.launch


async def start_engine(berth: Berth, order: ReplicaOrder, spec: ModelSpec, path: Path) -> Running:
    """Start an engine for a model file; it is not ready yet. Raises MoorageError or OSError."""
    facts = await asyncio.to_thread(read_facts, path)
    machine = replace(berth.machine, installations=await asyncio.to_thread(berth.installed))
    choice = await asyncio.to_thread(choose, spec, facts, machine)
    engine = choice.engine
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
            devices=hold.devices if hold else (),
        ),
    )
    record = Record(
        order=order,
        fingerprint=fingerprint(order.model),
        generation=generation,
        engine=engine.name,
        adapter=engine.name if spec.engine == "auto" else spec.engine,
        facts=facts,
        launch=launch,
        why=(*choice.why, *_devices_why(hold), *launch.why),
        hold=hold,
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
    return Running(record=record, engine=engine, link=await KeeperLink.start(directory, keeper))


async def adopt_engine(berth: Berth, record: Record) -> Running | None:
    """The engine that a record tells of, if it still runs under its keeper."""
    engine = await asyncio.to_thread(load, pinned(record.adapter)[0])
    link = await KeeperLink.adopt(berth.directory(record.order.replica), berth.settings.keeper_lease_s)
    if link is None:
        return None
    if link.generation != record.generation:
        await link.close()
        return None
    berth.pool.restore(record.order.replica, record.hold)
    return Running(record=record, engine=engine, link=link)


def _hold(berth: Berth, replica: str, spec: ModelSpec, choice: Choice) -> Hold | None:
    """The accelerators of a replica whose engine computes on them. Raises EngineError where they cannot be had."""
    options = spec.options
    if not choice.accelerator or options.devices == ():
        return None
    count = options.tensor_parallel * options.pipeline_parallel * options.data_parallel
    wish = Wish(model=spec.name, count=count, share=options.memory_fraction, named=options.devices)
    return berth.pool.take(replica, wish)


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
                text = (await reply.read())[:REASON_LINE_CHARS].decode(errors="replace")
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


def explain(berth: Berth, replica: str, what: str, running: Running | None) -> str:
    """A reason a user can act on: what happened, the plain cause and fix, the engine's own last lines. Blocks."""
    if running is None:
        return what
    path = berth.log(replica)
    said = last_start(path)
    diagnosis = _diagnose(running.engine, said)
    text = f"{what}: {diagnosis.cause}. {diagnosis.fix}" if diagnosis else what
    lines = [line.rstrip()[:REASON_LINE_CHARS] for line in said.splitlines() if line.strip()][-REASON_LINES:]
    if not lines:
        return f"{text}\n{path} has nothing from it"
    return "\n".join([text, f"last lines of {path}:", *(f"  {line}" for line in lines)])


def _diagnose(engine: Engine, said: str) -> Diagnosis | None:
    try:
        return engine.diagnose(said)
    except Exception:
        # An adapter's fault in reading a log must not hide the engine's own.
        log.exception("the adapter cannot read its engine's log", engine=engine.name)
        return None


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
