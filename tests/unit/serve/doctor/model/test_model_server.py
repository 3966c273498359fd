import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from moorage.config.load import load
from moorage.config.tree import Config
from moorage.serve.doctor.model.server import examine, is_ready, row_of, status

ROW: dict[str, Any] = {
    "id": "chat",
    "names": ["chat", "default"],
    "state": "failed",
    "targets": [{"id": "chat-0", "state": "failed", "reason": "start failed: no\x1b[2Jroom\nlast lines"}],
}


@contextmanager
def answering(code: int, body: bytes, seen: list[str]) -> Generator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(f"{self.path} {self.headers['authorization']}")
            self.send_response(code)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever, daemon=True)
        thread.start()
        yield listener.server_port
        listener.shutdown()
        thread.join()


def config(port: int) -> Config:
    return load(flags={"server.port": port}, environ={"HOME": "/nowhere"}).config


def test_a_servers_own_words_without_what_writes_to_terminals() -> None:
    asked: list[str] = []
    with answering(200, json.dumps({"models": [ROW]}).encode(), asked) as port:
        seen = status(config(port), {"MOORAGE_API_KEY": "secret"})
    assert asked == ["/api/v1/status Bearer secret"]
    row = row_of(seen, "default")
    assert not is_ready(row)
    (finding,) = examine(seen, row, "chat")
    assert (finding.level, finding.what) == ("problem", "chat-0 is failed")
    assert finding.detail == "start failed: no[2Jroom"


@pytest.mark.parametrize(
    ("code", "body"),
    [(401, b"{}"), (200, b"["), (200, b"[]"), (200, b'{"models": 3}'), (200, b'{"models": [3]}'), (500, b"")],
)
def test_what_is_no_status_is_nobody(code: int, body: bytes) -> None:
    with answering(code, body, []) as port:
        assert status(config(port), {}) is None


def test_nobody_and_a_server_of_other_models() -> None:
    assert status(config(1), {}) is None
    assert status(config(0), {}) is None
    (finding,) = examine(None, None, "chat")
    assert finding.level == "note"
    (finding,) = examine({"models": [ROW]}, None, "other")
    assert finding.detail.endswith("serves chat")
