"""The worker's side of keepers: start one, adopt one that runs, renew its lease, stop it, hear its exit."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from moorage.access.private import write_private
from moorage.errors import EngineError
from moorage.worker.environment import clean_environment
from moorage.worker.identity import MARKER, read_identity
from moorage.worker.sweep import kill_replica

CONNECT_TIMEOUT_S = 10.0
HELLO_TIMEOUT_S = 2.0
RENEWALS_PER_LEASE = 5
RENEW_MAX_S = 30.0
LAST_WORD_S = 15.0
"""How much longer than the grace a stop may take: SIGKILL, and everything the engine started."""


@dataclass(frozen=True, kw_only=True)
class KeeperOrder:
    """`launch.json`: all a keeper is told."""

    argv: list[str]
    env: dict[str, str]
    """The engine's whole environment; the marker is added."""
    cwd: str
    log: str
    generation: int
    lease_s: float
    stop_grace_s: float = 10.0
    """For a SIGTERM to the keeper itself."""
    remove: list[str]
    """Files to remove after the end: secrets, sockets."""
    log_max_bytes: int = 16 * 1024 * 1024
    log_keep: int = 3


@dataclass(frozen=True)
class Exit:
    """How an engine ended. Neither code nor signal: nobody knows, its keeper was killed."""

    code: int | None
    signal: int | None
    by: str
    """itself, stop, lease, signal (to the keeper), keeper (it died, and the engine with it), stuck (not at all)."""
    detail: str = ""
    """A dying keeper's own words."""

    def __str__(self) -> str:
        if self.by == "stuck":
            return "its processes do not end even by SIGKILL: they wait in the kernel, for a device or a network disk"
        if self.detail:
            return f"its keeper process failed, and the engine ended with it: {self.detail}"
        if self.by == "keeper":
            return "its keeper process was killed, and the engine with it"
        why = {"lease": " because its worker did not renew the lease", "signal": " because its keeper was told to end"}
        if self.signal is not None:
            text = f"the engine was killed by {_signal_name(self.signal)}"
            if self.signal == signal.SIGKILL and self.by == "itself":
                text += " (an operator, or the kernel when memory ran out)"
        else:
            text = f"the engine ended with code {self.code}"
        return text + why.get(self.by, "")


class KeeperLink:
    """A live connection to one keeper. `exited` is done when its engine has ended, however it did."""

    def __init__(
        self, directory: Path, lease_s: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: Any
    ) -> None:
        self.directory = directory
        self.generation: int = state["generation"]
        self.pid: int = state["pid"]
        self.exited: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._lease_s = lease_s
        self._reader = reader
        self._writer = writer
        self._keeper_pid: int | None = None
        self._tasks = [asyncio.create_task(self._listen(state)), asyncio.create_task(self._renew())]

    @classmethod
    async def start(cls, directory: Path, order: KeeperOrder) -> Self:
        """Start a keeper and its engine. Raises EngineError where the keeper cannot do its work, and says why."""
        await asyncio.to_thread(_write_launch, directory, order)
        pid = _spawn(directory)  # at once, not in a thread: whoever is cancelled here has to know what to end
        met = False
        try:
            link = await cls._meet(directory, order.lease_s, pid)
            met = True
            return link
        finally:
            if not met:
                _kill(pid)
                await _reap(pid)

    @classmethod
    async def _meet(cls, directory: Path, lease_s: float, pid: int) -> Self:
        """The first connection to a keeper that has just been started."""
        deadline = time.monotonic() + CONNECT_TIMEOUT_S
        while time.monotonic() < deadline:
            link = await cls._connect(directory, lease_s)
            if link is not None:
                link._keeper_pid = pid
                return link
            if _reaped(pid):
                raise EngineError(f"the keeper could not start: {_said(directory)}")
            await asyncio.sleep(0.01)
        raise EngineError(f"the keeper did not answer within {CONNECT_TIMEOUT_S:g} s: {_said(directory)}")

    @classmethod
    async def adopt(cls, directory: Path, lease_s: float) -> Self | None:
        """Connect to a keeper that runs already. None when there is none, or its engine has ended or is ending."""
        if read_identity(str(directory)) is None:
            return None
        link = await cls._connect(directory, lease_s, only="running")
        if link is not None:
            link._write({"renew": lease_s})
        return link

    @classmethod
    async def _connect(cls, directory: Path, lease_s: float, only: str = "") -> Self | None:
        try:
            reader, writer = await asyncio.open_unix_connection(str(directory / "keeper.sock"))
        except OSError:
            return None
        try:
            line = await asyncio.wait_for(reader.readline(), HELLO_TIMEOUT_S)
        except (OSError, TimeoutError):
            line = b""
        state: Any = json.loads(line) if line.endswith(b"\n") else None
        if state is None or (only and state["state"] != only):
            writer.close()
            return None
        return cls(directory, lease_s, reader, writer, state)

    async def stop(self, grace_s: float) -> Exit:
        """SIGTERM to the engine's group, SIGKILL after the grace; returns when all that came from it is gone."""
        if not self.exited.done():
            self._write({"stop": grace_s})
        try:
            return await asyncio.wait_for(asyncio.shield(self.exited), grace_s + LAST_WORD_S)
        except TimeoutError:
            await asyncio.to_thread(kill_replica, self.directory)
        try:
            return await asyncio.wait_for(asyncio.shield(self.exited), LAST_WORD_S)
        except TimeoutError:
            return Exit(None, None, "stuck")

    async def close(self) -> None:
        """Leave the keeper. One whose engine runs goes on until its lease lapses or another owner adopts it."""
        if self.exited.done():
            self._write({"ack": True})
            await asyncio.wait([self._tasks[0]], timeout=2.0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._writer.close()

    async def _renew(self) -> None:
        while not self.exited.done():
            self._write({"renew": self._lease_s})
            await asyncio.sleep(min(self._lease_s / RENEWALS_PER_LEASE, RENEW_MAX_S))

    async def _listen(self, state: Any) -> None:
        """Until the keeper goes. Reaps it where it is our child."""
        while state:
            if state["state"] == "exited" and not self.exited.done():
                self.exited.set_result(Exit(state["code"], state["signal"], state["by"]))
                self._write({"ack": True})
            try:
                line = await self._reader.readline()
            except OSError:
                line = b""
            state = json.loads(line) if line.endswith(b"\n") else None
        if not self.exited.done():
            await asyncio.to_thread(kill_replica, self.directory)
            detail = await asyncio.to_thread(_last_line, self.directory / "keeper.err")
            self.exited.set_result(Exit(None, None, "keeper", detail))
        if self._keeper_pid is not None:
            await _reap(self._keeper_pid)

    def _write(self, message: Mapping[str, Any]) -> None:
        if not self._writer.is_closing():
            self._writer.write(json.dumps(message).encode() + b"\n")


def _write_launch(directory: Path, order: KeeperOrder) -> None:
    launch = {**asdict(order), "env": {**order.env, MARKER: str(directory)}}
    with contextlib.suppress(FileNotFoundError):
        (directory / "identity.json").unlink()
    write_private(directory / "launch.json", json.dumps(launch).encode())


def _spawn(directory: Path) -> int:
    """posix_spawn, not subprocess: nothing here may kill the keeper or wait for it when the worker goes."""
    return os.posix_spawn(
        sys.executable,
        # -P: a file in the user's folder that is called like one of Python's modules stays the user's.
        [sys.executable, "-P", "-m", "moorage.worker.keeper", str(directory)],
        {**clean_environment(), MARKER: str(directory)},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, str(directory / "keeper.err"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        ],
    )


def _reaped(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def _kill(pid: int) -> None:
    """A child: where it has ended and was collected already, its number may be someone else's."""
    if not _reaped(pid):
        os.kill(pid, signal.SIGKILL)


async def _reap(pid: int) -> None:
    """Collect a child that has ended or is about to: it closed its socket."""
    for _ in range(250):
        if _reaped(pid):
            return
        await asyncio.sleep(0.02)


def _said(directory: Path) -> str:
    return _last_line(directory / "keeper.err") or "it said nothing"


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1][:500] if lines else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
