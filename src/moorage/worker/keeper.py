"""The keeper: the small process that holds one engine process. `python -m moorage.worker.keeper DIR`.

It reads `DIR/launch.json`, starts the engine, and says over `DIR/keeper.sock` how it is, one JSON object a line:
`{"state": "running" | "ending" | "exited", "pid", "generation", "code", "signal", "by"}`, to whoever connects and again
on every change. It takes `{"renew": seconds}`, `{"stop": grace_seconds}` and, after the exit, `{"ack": true}`.

It ends the engine, and everything the engine started, when it is told to, on SIGTERM, or when nobody renewed the lease.
The engine dies with it (PR_SET_PDEATHSIG). Standard library only, one thread, no event loop: there is one per engine.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import time

from moorage.worker import process
from moorage.worker.identity import boot_id, start_time
from moorage.worker.logfile import Log

TYPE_CHECKING = False  # typing itself would cost every keeper 0.8 MB
if TYPE_CHECKING:
    from typing import Any

LAPSE_GRACE_S = 0.5
"""Between SIGTERM and SIGKILL when the owner is gone: nobody is served any more, and a lease has to mean something."""
LINGER_S = 5.0
"""How long the exit can be asked for when nobody has acknowledged it."""
CHECK_LOG_S = 10.0
PIPE_BYTES = 1024 * 1024
"""So that an engine need not wait for a keeper that gets no processor for a while."""
MAX_LINE_BYTES = 4096
MAX_CONNECTIONS = 16


class Keeper:
    def __init__(self, directory: str, launch: dict[str, Any]) -> None:
        self.directory = directory
        self.argv: list[str] = launch["argv"]
        self.env: dict[str, str] = launch["env"]
        self.cwd: str = launch["cwd"]
        self.log = Log(launch["log"], launch["log_max_bytes"], launch["log_keep"])
        self.generation: int = launch["generation"]
        self.stop_grace_s: float = launch["stop_grace_s"]
        self.remove: list[str] = launch["remove"]
        self.lease_until: float = time.monotonic() + launch["lease_s"]
        self.engine = 0
        self.output = -1
        self.exit: tuple[int | None, int | None] | None = None
        self.exited = False
        self.by = "itself"
        self.ending = False
        self.kill_at: float | None = None
        self.killing = False
        self.linger_until: float | None = None
        self.log_check_at = time.monotonic() + CHECK_LOG_S
        self.connections: dict[int, tuple[socket.socket, bytearray]] = {}
        self.poll = select.poll()

    def run(self) -> None:
        """Returns when the engine and all that came from it are gone and the exit is handed over or nobody asks."""
        wake = self._signals()
        listener = self._listen()
        try:
            self._start()
            while not self._done():
                for descriptor, _ in self.poll.poll(self._timeout_ms()):
                    if descriptor == listener.fileno():
                        self._accept(listener)
                    elif descriptor == wake.fileno():
                        self._woken(wake.recv(64))
                    elif descriptor == self.output:
                        self._copy_output()
                    else:
                        self._hear(descriptor)
                self._tend()
        finally:
            self._clean()

    def _signals(self) -> socket.socket:
        """Signals arrive as bytes (their numbers) on a socket, so that one poll waits for everything."""
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, _noted)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self.poll.register(reader.fileno(), select.POLLIN)
        return reader

    def _listen(self) -> socket.socket:
        path = os.path.join(self.directory, "keeper.sock")
        _unlink(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        previous = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(previous)
        listener.listen(MAX_CONNECTIONS)
        listener.setblocking(False)
        self.poll.register(listener.fileno(), select.POLLIN)
        return listener

    def _start(self) -> None:
        self.log.header(self.generation, self.argv)
        self.output, output = process.open_pipe(PIPE_BYTES)
        self.engine = process.spawn(self.argv, self.env, self.cwd, output)
        os.close(output)
        self.poll.register(self.output, select.POLLIN)
        identity = {
            "keeper_pid": os.getpid(),
            "keeper_started": start_time(os.getpid()),
            "engine_pid": self.engine,
            "engine_started": start_time(self.engine),
            "pgid": self.engine,
            "boot_id": boot_id(),
            "generation": self.generation,
        }
        path = os.path.join(self.directory, "identity.json")
        with open(path + ".new", "w", encoding="utf-8", opener=_private) as file:
            json.dump(identity, file)
        os.replace(path + ".new", path)

    def _done(self) -> bool:
        return self.exited and self.linger_until is not None and time.monotonic() >= self.linger_until

    def _timeout_ms(self) -> int:
        if self.killing:
            return 50
        moments = [self.log_check_at]
        if not self.exited:
            moments.append(self.kill_at if self.ending and self.kill_at is not None else self.lease_until)
        if self.linger_until is not None:
            moments.append(self.linger_until)
        return max(0, int((min(moments) - time.monotonic()) * 1000) + 1)

    def _tend(self) -> None:
        """What time and children ask for."""
        now = time.monotonic()
        if self.exit is None:
            self.exit = process.ended(self.engine)
            if self.exit is not None:
                self.killing = True
        if self.killing:
            self._finish()
        elif self.exit is None and not self.exited:
            process.reap(keep=self.engine)
            if self.ending and self.kill_at is not None and now >= self.kill_at:
                process.signal_group(self.engine, signal.SIGKILL)
                self.kill_at = now + 1.0
            elif not self.ending and now >= self.lease_until:
                self._end("lease", LAPSE_GRACE_S)
        if now >= self.log_check_at:
            self.log_check_at = now + CHECK_LOG_S
            self.log.check()

    def _finish(self) -> None:
        """The engine has ended: so does everything it left behind, and only then is the exit told."""
        # Its zombie keeps the number of its group from being given to someone else.
        process.signal_group(self.engine, signal.SIGKILL)
        process.kill_children(keep=self.engine)
        if process.reap(keep=self.engine):
            return
        os.waitpid(self.engine, 0)
        while self._copy_output():  # its last words, before anyone is told to read them
            continue
        self.killing = False
        self.exited = True
        # Nobody will ask after a lapse or a signal to the keeper itself.
        self.linger_until = time.monotonic() + (LINGER_S if self.by in ("itself", "stop") else 0.0)
        self._tell_all()

    def _end(self, by: str, grace_s: float) -> None:
        """Ask the engine to stop; kill it after the grace. A second call can only make it sooner."""
        kill_at = time.monotonic() + grace_s
        if self.exited or self.exit is not None:
            return
        if not self.ending:
            self.ending, self.by, self.kill_at = True, by, kill_at
            process.signal_group(self.engine, signal.SIGTERM)
            self._tell_all()
        self.kill_at = min(kill_at, self.kill_at) if self.kill_at is not None else kill_at

    def _woken(self, numbers: bytes) -> None:
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            if self.exited:
                self.linger_until = time.monotonic()
            self._end("signal", self.stop_grace_s)

    def _copy_output(self) -> bool:
        """Some of what the engine wrote, to the log. False when there is nothing."""
        if self.output < 0:
            return False
        try:
            data = os.read(self.output, PIPE_BYTES)
        except BlockingIOError:
            return False
        if data:
            self.log.write(data)
        else:  # every writer is gone, or closed it
            self.poll.unregister(self.output)
            os.close(self.output)
            self.output = -1
        return bool(data)

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        if len(self.connections) >= MAX_CONNECTIONS:
            connection.close()
            return
        connection.setblocking(False)
        self.connections[connection.fileno()] = (connection, bytearray())
        self.poll.register(connection.fileno(), select.POLLIN)
        self._tell(connection)

    def _hear(self, descriptor: int) -> None:
        if descriptor not in self.connections:
            return
        connection, buffer = self.connections[descriptor]
        try:
            data = connection.recv(MAX_LINE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        buffer += data
        *lines, rest = buffer.split(b"\n")
        buffer[:] = rest
        if not data or len(rest) > MAX_LINE_BYTES or not all(self._obey(bytes(line)) for line in lines):
            self._drop(connection)

    def _obey(self, line: bytes) -> bool:
        """Carry out one message; False when it is none of ours."""
        try:
            ((word, value),) = json.loads(line).items()
            seconds = float(value)
            if not 0 <= seconds < 1e9:
                return False
            if word == "renew":
                self.lease_until = time.monotonic() + seconds
            elif word == "stop":
                self._end("stop", seconds)
            elif word == "ack" and self.exited:
                self.linger_until = time.monotonic()
        except (ValueError, TypeError, AttributeError):  # not JSON, not one word, not a number
            return False
        return True

    def _tell_all(self) -> None:
        for connection, _ in list(self.connections.values()):
            self._tell(connection)

    def _tell(self, connection: socket.socket) -> None:
        code, number = self.exit if self.exit is not None else (None, None)
        state = {
            "state": "exited" if self.exited else "ending" if self.ending or self.killing else "running",
            "pid": self.engine,
            "generation": self.generation,
            "code": code,
            "signal": number,
            "by": self.by,
        }
        line = json.dumps(state).encode() + b"\n"
        try:
            sent = connection.send(line)
        except OSError:
            sent = 0
        if sent != len(line):  # a peer that does not read
            self._drop(connection)

    def _drop(self, connection: socket.socket) -> None:
        self.poll.unregister(connection.fileno())
        del self.connections[connection.fileno()]
        connection.close()

    def _clean(self) -> None:
        for path in (*self.remove, *(os.path.join(self.directory, name) for name in ("keeper.sock", "launch.json"))):
            _unlink(path)


def _noted(number: int, frame: object) -> None:
    """The wakeup socket has it."""


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:  # not there, or its directory is gone
        return


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def main() -> None:
    directory = os.path.abspath(sys.argv[1])
    process.close_inherited()
    if os.getsid(0) != os.getpid():
        os.setsid()
    process.become_subreaper()
    os.chdir("/")  # a keeper holds no file system
    with open(os.path.join(directory, "launch.json"), encoding="utf-8") as file:
        launch = json.load(file)
    Keeper(directory, launch).run()


if __name__ == "__main__":
    main()
