"""Who answers while the model loads: a small child process.

A library may hold the interpreter's lock for the whole load, so no thread of this process could.
"""

import ctypes
import os
import select
import signal
import socket
from pathlib import Path

import msgspec

from moorage.errors import NotReady

PR_SET_PDEATHSIG = 1
READ_TIMEOUT_S = 1.0


class Doorkeeper:
    """Answers every call on the listening socket with 503 and how far the load is. start → stop."""

    def __init__(self, listening: socket.socket, model_path: str) -> None:
        self._listening = listening
        self._model_path = Path(model_path)
        self._pid = 0

    def start(self) -> None:
        """Fork. Call it while this process has one thread."""
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                self._serve(parent)
            finally:
                os._exit(0)

    def stop(self) -> None:
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0

    def _serve(self, parent: int) -> None:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        size = _size_bytes(self._model_path)
        while os.getppid() == parent:
            ready, _, _ = select.select([self._listening], [], [], 1.0)
            if ready:
                self._answer(parent, size)

    def _answer(self, parent: int, size: int) -> None:
        try:
            connection, _ = self._listening.accept()
        except OSError:  # it left already
            return
        with connection:
            connection.settimeout(READ_TIMEOUT_S)
            try:
                connection.recv(65536)
                connection.sendall(_reply(_resident_bytes(parent), size))
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                return


def _size_bytes(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size if path.is_file() else 0


def _resident_bytes(pid: int) -> int:
    """The weights are mapped: what is resident is what was read."""
    pages = int(Path(f"/proc/{pid}/statm").read_bytes().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _reply(done: int, size: int) -> bytes:
    body = msgspec.json.encode(
        {
            "status": "loading",
            "progress": {"what": "load", "done": min(done, size), "total": size},
            **NotReady("the model is loading").openai(),
        }
    )
    head = (
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
