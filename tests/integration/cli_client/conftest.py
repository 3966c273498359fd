import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from tests.integration.cli_client.answering import Answering

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]")


def command(name: str, *args: str) -> list[str]:
    return [sys.executable, "-m", "moorage.cli.main", name, *args]


class Terminal:
    """A command at a terminal of its own."""

    def __init__(self, argv: list[str], env: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True, close_fds=True
        )
        os.close(slave)
        self._text = ""

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def interrupt(self) -> None:
        os.killpg(self.process.pid, signal.SIGINT)

    def expect(self, pattern: str, within_s: float = 15.0) -> str:
        """Read until the pattern is there; what came with it is returned and taken."""
        deadline = time.monotonic() + within_s
        while not (match := re.search(pattern, self._text, re.DOTALL)):
            left = deadline - time.monotonic()
            assert left > 0, f"{pattern!r} did not come; on the terminal is {self._text!r}"
            if select.select([self._master], [], [], left)[0]:
                try:
                    more = os.read(self._master, 65536).decode(errors="replace")
                except OSError:
                    pytest.fail(f"{pattern!r} did not come before the end; on the terminal is {self._text!r}")
                self._text = ESCAPES.sub("", self._text + more)
        taken, self._text = self._text[: match.end()], self._text[match.end() :]
        return taken

    def ends(self, within_s: float = 15.0) -> int:
        with contextlib.suppress(OSError):
            while select.select([self._master], [], [], 0.2)[0] and os.read(self._master, 65536):
                pass
        return self.process.wait(within_s)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)


@pytest.fixture
def environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MOORAGE_")}
    return kept | {"TERM": "xterm", "COLUMNS": "120", "LINES": "40"}


@pytest.fixture
def engine_at() -> Iterator[Callable[..., str]]:
    """Start fake engines with these options; their URLs."""
    running: list[subprocess.Popen[str]] = []

    def start(*options: str) -> str:
        argv = [sys.executable, "-m", "moorage.testing.engine", "--port", "0", *options]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout is not None
        return process.stdout.readline().strip()

    yield start
    for process in running:
        process.terminate()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture
def answering() -> Iterator[Answering]:
    """A server for vectors, rankings and transcripts."""
    server = Answering()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def terminal(environment: dict[str, str]) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(name: str, *args: str) -> Terminal:
        opened.append(Terminal(command(name, *args), environment))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


@pytest.fixture
def piped(environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command away from a terminal."""

    def run(name: str, *args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(name, *args), input=stdin, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    return run
