import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

REPLICAS = ["boat-0", "boat-1"]


def replica(id: str) -> dict[str, Any]:
    return {
        "id": id,
        "state": "ready",
        "reason": "answers",
        "since": time.time() - 95,
        "engine": "llama.cpp",
        "capacity": 4,
        "restarts": 0,
        "retry_at": None,
        "progress": None,
        "load": {"running": 1, "queued": 0, "kv_used": None},
    }


def status() -> dict[str, Any]:
    boat = {
        "id": "boat",
        "names": ["boat", "ship"],
        "task": "generate",
        "state": "ready",
        "targets": list(map(replica, REPLICAS)),
    }
    idle = {"id": "idle", "names": ["idle"], "task": "generate", "state": "stopped", "targets": []}
    return {
        "version": "0.1.0",
        "uptime_s": 100,
        "models": [boat, idle],
        "workers": [],
        "gateways": [{"process": 0, "pid": 77}],
    }


class Served(BaseHTTPRequestHandler):
    """The administration API with one known state; the test changes `answers`."""

    answers: dict[str, tuple[int, bytes]]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        status, body = self.answers.get(path, (404, b'{"error":{"message":"there is no such thing here"}}'))
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)
        if "follow=true" in self.path:
            for number in range(3):
                time.sleep(0.05)
                self.wfile.write(f"new {number}\n".encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Tests say what they see themselves."""


@pytest.fixture
def answers() -> dict[str, tuple[int, bytes]]:
    logs = {f"/api/v1/replicas/{id}/log": (200, f"{id} loads\n{id} is re".encode() + b"ady") for id in REPLICAS}
    return {"/api/v1/status": (200, json.dumps(status()).encode()), **logs}


@pytest.fixture
def url(answers: dict[str, tuple[int, bytes]]) -> Iterator[str]:
    handler = type("Handler", (Served,), {"answers": answers})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


Piped = Callable[..., Any]


def test_status_is_a_table_that_grep_finds(url: str, piped: Piped) -> None:
    done = piped("status", "--url", url)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == f"Moorage 0.1.0 at {url}, up 2m"
    assert lines[2].split() == ["boat", "generate", "boat-0", "ready", "2m", "llama.cpp", "1/4", "running", "answers"]
    assert lines[-1] == "gateway 0: process 77"


def test_status_as_json(url: str, answers: dict[str, tuple[int, bytes]], piped: Piped) -> None:
    told = json.loads(answers["/api/v1/status"][1])
    assert json.loads(piped("status", "--url", url, "--json").stdout) == told


def test_status_while_the_controller_is_away(url: str, piped: Piped, answers: dict[str, tuple[int, bytes]]) -> None:
    answers["/api/v1/status"] = (503, b'{"error":{"message":"the controller is away"}}')
    health = {"status": "degraded", "models": {"boat": {"state": "starting", "reason": "loads"}}}
    answers["/health"] = (200, json.dumps(health).encode())
    done = piped("status", "--url", url)
    assert done.returncode == 0
    assert "only what the gateway knows: the controller is away" in done.stderr
    assert "starting" in done.stdout


@pytest.mark.parametrize("name", ["status", "logs"])
def test_no_server_and_no_moorage(url: str, piped: Piped, name: str, answers: dict[str, tuple[int, bytes]]) -> None:
    done = piped(name, "--url", "http://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no Moorage at http://127.0.0.1:1; start one with `moorage serve`" in done.stderr
    answers["/api/v1/status"] = (200, b"<html>hello</html>")
    assert "does not answer with JSON; is it a Moorage?" in piped(name, "--url", url).stderr
    answers["/api/v1/status"] = (401, b'{"error":{"message":"no key"}}')
    assert "no key; give a key by --api-key" in piped(name, "--url", url).stderr


def test_watching_lives_through_an_absence(url: str, terminal: Callable[..., Any], answers: dict[str, Any]) -> None:
    screen = terminal("status", "--url", url, "--watch")
    screen.expect("boat-1")
    kept, answers["/api/v1/status"] = answers["/api/v1/status"], (500, b'{"error":{"message":"trouble at sea"}}')
    screen.expect("trouble at sea")
    answers["/api/v1/status"] = kept
    screen.expect("Ctrl-C leaves")
    screen.interrupt()
    assert screen.ends() == 130


def test_watching_needs_a_terminal(url: str, piped: Piped) -> None:
    done = piped("status", "--url", url, "--watch")
    assert done.returncode == 2
    assert "--watch needs a terminal" in done.stderr


def test_the_log_of_one_replica_is_plain(url: str, piped: Piped) -> None:
    assert piped("logs", "boat-0", "--url", url).stdout == "boat-0 loads\nboat-0 is ready\n"


@pytest.mark.parametrize("name", [["boat"], ["ship"], []])
def test_the_logs_of_several_say_whose_line_it_is(url: str, piped: Piped, name: list[str]) -> None:
    done = piped("logs", *name, "--url", url)
    assert done.stdout.splitlines() == [f"{id} | {id} {what}" for id in REPLICAS for what in ("loads", "is ready")]


def test_following(url: str, piped: Piped) -> None:
    done = piped("logs", "boat", "--url", url, "-f")
    for id in REPLICAS:
        assert [line.partition("new ")[2] for line in done.stdout.splitlines() if line.startswith(id)][-2:] == [
            "1",
            "2",
        ]


def test_a_log_that_cannot_be_read_keeps_no_other_from_it(
    url: str, piped: Piped, answers: dict[str, tuple[int, bytes]]
) -> None:
    answers["/api/v1/replicas/boat-0/log"] = (503, b'{"error":{"message":"its worker is away"}}')
    done = piped("logs", "--url", url)
    assert done.returncode == 0
    assert "boat-0: its worker is away" in done.stderr
    assert "boat-1 | boat-1 loads" in done.stdout


def test_a_name_nobody_has(url: str, piped: Piped) -> None:
    done = piped("logs", "whale", "--url", url)
    assert done.returncode == 1
    assert "no model or replica 'whale'; there are: boat, idle, boat-0, boat-1" in done.stderr
    assert "idle has no replica" in piped("logs", "idle", "--url", url).stderr
