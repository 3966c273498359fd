"""The whole product as a user starts it: `moorage serve` in a process of its own, with folders of its own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from moorage.config.places import default_cache_dir
from moorage.serve.listening import bind


def free_port() -> int:
    with contextlib.closing(bind("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def wait_until(condition: Callable[[], Any], timeout_s: float, what: str) -> Any:
    """The first true answer of `condition`."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if answer := condition():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"not within {timeout_s:g} s: {what}")


class Product:
    """A running server. Its processes are found by its state folder, which all of them carry somewhere."""

    def __init__(
        self, folder: Path, config: dict[str, Any] | None = None, *args: str, env: dict[str, str] | None = None
    ):
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.config_path = folder / "moorage.yaml"
        self._args = args
        self._env = env or {}
        self.write_config(config or {})
        self.process: subprocess.Popen[bytes] | None = None

    def write_config(self, config: dict[str, Any]) -> None:
        self.config_path.write_text(json.dumps(config))

    @property
    def output(self) -> str:
        return (self.folder / "output.log").read_text(errors="replace")

    def start(self) -> "Product":
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MOORAGE_")}
        environment |= {
            "MOORAGE_STATE_DIR": str(self.folder / "state"),
            "MOORAGE_CACHE_DIR": str(default_cache_dir()),
            "MOORAGE_TEST_FOLDER": str(self.folder),
        } | self._env
        if self.process is not None:
            self.process.wait(5)
        argv = [sys.executable, "-m", "moorage.cli.main", "serve", "-c", str(self.config_path), "-p", str(self.port)]
        with open(self.folder / "output.log", "ab") as output:
            self.process = subprocess.Popen(
                [*argv, *self._args],
                stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=environment, start_new_session=True,
            )  # fmt: skip
        return self

    def ready(self, timeout_s: float = 60.0) -> "Product":
        def answer() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.output
            return self.get("/ready")[0] == 200

        wait_until(answer, timeout_s, f"ready\n{self.output}")
        return self

    def get(self, path: str, timeout_s: float = 5.0) -> tuple[int, Any]:
        return self.call("GET", path, None, timeout_s)

    def post(self, path: str, body: Any, timeout_s: float = 30.0) -> tuple[int, Any]:
        return self.call("POST", path, body, timeout_s)

    def call(self, method: str, path: str, body: Any, timeout_s: float) -> tuple[int, Any]:
        """Status and decoded body; (0, reason) where nothing answers."""
        request = urllib.request.Request(
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as reply:
                return reply.status, _decoded(reply.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _decoded(error.read())
        except OSError as error:
            return 0, str(error)

    def chat(self, model: str, content: str = "Say hello.", **fields: Any) -> tuple[int, Any]:
        body = {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": 8}
        return self.post("/v1/chat/completions", body | fields)

    def processes(self) -> dict[str, list[psutil.Process]]:
        """Everything this server has running, by role."""
        found: dict[str, list[psutil.Process]] = {}
        marker = str(self.folder)
        for process in psutil.process_iter():
            try:
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                command = " ".join(process.cmdline())
                environment = Path(f"/proc/{process.pid}/environ").read_bytes().decode(errors="replace")
            except (psutil.Error, OSError):
                continue
            if marker in command or f"={marker}" in environment:
                found.setdefault(_role(command), []).append(process)
        return found

    def pids(self) -> set[int]:
        return {process.pid for group in self.processes().values() for process in group}

    def kill(self, number: int = signal.SIGKILL) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def stop(self) -> None:
        """As an operator does, and then make sure."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
        elif self.process is not None:
            self.process.wait(1)
        for group in self.processes().values():
            for process in group:
                with contextlib.suppress(psutil.Error):
                    process.kill()

    def __enter__(self) -> "Product":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _role(command: str) -> str:
    for role, part in (
        ("keeper", "moorage.worker.keeper"),
        ("gateway", "moorage.gateway"),
        ("chat", "moorage.runtimes.llamacpp"),
        ("chat", "moorage.runtimes.openvino"),
        ("fake", "moorage.testing.engine"),
        ("supervisor", "moorage.cli.main"),
    ):
        if part in command:
            return role
    return f"other: {command}"


def _decoded(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content.decode(errors="replace")
