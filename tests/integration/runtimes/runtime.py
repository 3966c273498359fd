"""A runtime of ours as a child process, and a plain client for its Unix socket."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from moorage.wire import runtime
from moorage.wire.runtime import RuntimeSettings

TOKEN = "a-token"
PROCESSING = {"llamacpp": "llamacpp:requests_processing", "openvino": "moorage_runtime_sequences"}
Json = dict[str, Any]


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("runtime", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.content = response.read()

    @property
    def body(self) -> Any:
        return json.loads(self.content)

    @property
    def data(self) -> list[str]:
        """A stream's events."""
        return [event.removeprefix("data: ") for event in self.content.decode().split("\n\n") if event]

    @property
    def chunks(self) -> list[Json]:
        assert self.status == 200, self.content
        events = self.data
        assert events[-1] == "[DONE]"
        return [json.loads(event) for event in events[:-1]]

    @property
    def error(self) -> Json:
        return self.body["error"]


class Runtime:
    """start → call → stop. The log is a file, as it is under a keeper."""

    def __init__(self, settings: RuntimeSettings, name: str = "llamacpp") -> None:
        """`name` is that of the module below moorage.runtimes."""
        self.settings = settings
        self.name = name
        self._folder = Path(settings.socket).parent
        self.log_path = self._folder / "log"
        self.out_path = self._folder / "out"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def start(self, *before: str, **env: str) -> Self:
        """`before`: a command that runs ours."""
        config = self._folder / "settings.json"
        config.write_bytes(runtime.encode(self.settings))
        with self.log_path.open("wb") as log, self.out_path.open("wb") as out:
            self.process = subprocess.Popen(
                [*before, sys.executable, "-m", f"moorage.runtimes.{self.name}", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                env={**os.environ, "GGML_NO_BACKTRACE": "1", **env},
            )
        return self

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def wait(self, timeout_s: float = 30) -> int:
        assert self.process is not None
        return self.process.wait(timeout_s)

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)

    def ready(self, timeout_s: float = 60) -> Self:
        def answers() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.log
            try:
                return self.get("/health").status == 200
            except OSError:
                return False

        until(answers, timeout_s)
        return self

    def call(self, method: str, path: str, body: bytes | None = None, token: str = TOKEN) -> Answer:
        connection = UnixConnection(self.settings.socket)
        try:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            connection.request(method, path, body, headers)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        return self.call("GET", path)

    def post(self, path: str, body: object) -> Answer:
        return self.call("POST", path, json.dumps(body).encode())

    def chat(self, content: str = "Say hi.", **fields: Any) -> Answer:
        return self.post(
            "/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": content}], **fields}
        )

    def complete(self, prompt: Any = "Once upon a time", **fields: Any) -> Answer:
        return self.post("/v1/completions", {"model": "m", "prompt": prompt, **fields})

    def count(self, **fields: Any) -> int:
        return self.post("/tokenize", fields).body["count"]

    def open(self, path: str, body: object) -> socket.socket:
        """A call that was sent and whose answer nobody reads yet."""
        connection = UnixConnection(self.settings.socket)
        connection.request("POST", path, json.dumps(body).encode(), {"Authorization": f"Bearer {TOKEN}"})
        return connection.sock

    def metric(self, name: str) -> float:
        for line in self.get("/metrics").content.decode().splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[1])
        raise AssertionError(f"no metric {name}")

    def processing(self) -> float:
        """How many calls the library itself says it works on."""
        return self.metric(PROCESSING[self.name])


def until(condition: Callable[[], bool], timeout_s: float, what: str = "it did not happen in time") -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def texts(chunks: list[Json]) -> dict[int, str]:
    """The text of each choice of a chat stream."""
    found: dict[int, str] = {}
    for choice in choices(chunks):
        found[choice["index"]] = found.get(choice["index"], "") + (choice["delta"].get("content") or "")
    return found


def choices(chunks: list[Json]) -> Iterator[Json]:
    for chunk in chunks:
        yield from chunk["choices"]
