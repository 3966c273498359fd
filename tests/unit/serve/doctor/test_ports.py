import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from moorage.config.tree import Listener
from moorage.serve.doctor.findings import Finding
from moorage.serve.doctor.holders import Holder, holder, owner
from moorage.serve.doctor.ports import look

LISTEN = (
    "import socket, sys, time; s = socket.create_server(('127.0.0.1', 0)); "
    "print(s.getsockname()[1], flush=True); time.sleep(60)"
)


def found(port: int, host: str = "127.0.0.1", option: str = "server") -> list[Finding]:
    return list(look(Listener(option, host, port)))


@contextmanager
def another_process() -> Generator[tuple[int, int]]:
    """Port and pid of a process that listens."""
    with subprocess.Popen([sys.executable, "-c", LISTEN], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline()), process.pid
        process.kill()


def test_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    (finding,) = found(port)
    assert (finding.level, finding.what, finding.subject) == (
        "ok",
        f"127.0.0.1:{port} is free",
        f"127.0.0.1:{port}",
    )
    assert found(0)[0].what == "any free port"


def test_taken_by_a_real_process() -> None:
    with another_process() as (port, pid):
        (finding,) = found(port)
        (of_model,) = found(port, option="models.local[2]")
    assert (finding.level, finding.what) == ("problem", f"127.0.0.1:{port} is taken")
    assert f"(pid {pid}, user " in finding.detail
    assert finding.fix.startswith("moorage serve --port ")
    assert finding.fix.endswith(f", or stop the other: kill {pid}")
    assert finding.facts["pid"] == pid
    assert of_model.fix.startswith("set models.local[2].port to ")


def test_not_to_be_had() -> None:
    (finding,) = found(8000, "203.0.113.7")
    assert (finding.level, finding.what) == ("problem", "203.0.113.7 is not here")
    (finding,) = found(8000, "no-such-host.invalid")
    assert finding.level == "problem"


def test_who_it_is_as_far_as_may_be_seen() -> None:
    with another_process() as (port, pid):
        seen = holder(port)
        assert seen is not None
        assert seen.pid == pid
        assert owner(port) == seen.user
    assert holder(port) is None
    assert str(Holder(7, "nginx", "www")) == "nginx (pid 7, user www)"
    assert str(Holder(user="www")) == "a process of another user (user www)"


@contextmanager
def answering(answers: dict[str, Any]) -> Generator[int]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answers.get(self.path)).encode())

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "level"), [("healthy", "ok"), ("degraded", "warning")])
def test_a_moorage_that_runs(status: str, level: str) -> None:
    models = {"a": {"state": "ready"}, "b": {"state": "failed"}}
    with answering({"/version": {"version": "0.2.0"}, "/health": {"status": status, "models": models}}) as port:
        held, server = found(port)
    assert (held.level, held.what) == ("ok", f"127.0.0.1:{port} is held by Moorage")
    assert (server.id, server.level, server.what) == ("ports.server", level, "Moorage 0.2.0 answers")
    assert server.detail == "1 of 2 models ready"
    assert server.facts["ready"] == 1
    assert f"pid {os.getpid()}" in held.detail


@pytest.mark.parametrize(
    "answers",
    [
        {},
        {"/version": {"version": 3}},
        {"/version": {"version": "1"}, "/health": {"status": "ok"}},
        {"/version": [], "/health": {"models": {}}},
    ],
)
def test_another_server_is_no_moorage(answers: dict[str, Any]) -> None:
    with answering(answers) as port:
        (finding,) = found(port)
    assert finding.level == "problem"
