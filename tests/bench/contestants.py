"""Who is measured: each is a process pinned to a core, in front of the same engine, at a port of its own."""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import msgspec

from moorage.http.unix import bind_unix
from moorage.serve.listening import bind, url_of
from moorage.wire.launch import GatewayLaunch, Listener
from tests.bench import backend

START_S = 10.0
PATH = "/v1/chat/completions"


Kind = Literal["unary", "stream", "paced"]


def _body(kind: Kind) -> bytes:
    """A chat call of some 600 bytes."""
    question = "Which harbour is safe in a westerly gale, and where does one moor there? " * 5
    messages = [{"role": "system", "content": "You answer in one sentence."}, {"role": "user", "content": question}]
    call = {"model": backend.MODEL, "messages": messages, "temperature": 0.7, "max_tokens": 64}
    if kind != "unary":
        call |= {"stream": True, "stream_options": {"include_usage": True}}
    if kind == "paced":
        call |= {"user": "paced"}
    return json.dumps(call, separators=(",", ":")).encode()


KINDS: tuple[Kind, ...] = get_args(Kind)
BODIES: dict[Kind, bytes] = {kind: _body(kind) for kind in KINDS}


@dataclass(frozen=True)
class Bed:
    """What all share."""

    folder: Path
    """Where sockets and files are put."""
    core: int
    """Of the contestant."""
    load_core: int
    """Of the engine, wrk, and what else is not measured."""
    upstream: str
    """Where contestants find the engine: unix:/path or http://host:port."""


@dataclass
class Contestant:
    """A running server."""

    name: str
    address: str
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list[subprocess.Popen[bytes]])
    """The first is what is measured."""

    @property
    def url(self) -> str:
        return self.address + PATH

    @property
    def pid(self) -> int:
        return self.processes[0].pid

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdin is not None:
                process.stdin.close()


def pin(core: int) -> list[str]:
    return ["taskset", "-c", str(core)]


def engine(bed_folder: Path, core: int) -> tuple[Contestant, str, str]:
    """The backend, and its two addresses: http and unix."""
    tcp, path = bind("127.0.0.1", 0), f"{bed_folder}/engine.sock"
    unix = bind_unix(path)
    listeners = (tcp, unix)
    process = _spawn([*pin(core), *_module("backend"), *(str(one.fileno()) for one in listeners)], listeners)
    contestant = Contestant("direct", url_of(tcp), [process])
    address = url_of(tcp)
    for one in listeners:
        one.close()
    return contestant, address, f"unix:{path}"


def nginx(bed: Bed) -> Contestant:
    """One worker, connections to the engine kept alive, an access log like ours, streams unbuffered."""
    listener = bind("127.0.0.1", 0)
    url = url_of(listener)
    listener.close()
    server = bed.upstream.removeprefix("http://")
    (bed.folder / "nginx.conf").write_text(
        f"""
        {"user root;" if os.geteuid() == 0 else ""}
        daemon off; worker_processes 1; pid {bed.folder}/nginx.pid; error_log {bed.folder}/nginx.log;
        events {{ worker_connections 1024; }}
        http {{
            access_log /dev/null combined buffer=64k flush=1s;
            keepalive_requests 1000000000; tcp_nodelay on;
            client_body_temp_path {bed.folder}/body; proxy_temp_path {bed.folder}/proxy;
            fastcgi_temp_path {bed.folder}/fastcgi; uwsgi_temp_path {bed.folder}/uwsgi;
            scgi_temp_path {bed.folder}/scgi;
            upstream engine {{ server {server}; keepalive 64; keepalive_requests 1000000000; }}
            server {{
                listen {url.removeprefix("http://")};
                location / {{ proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection ""; }}
            }}
        }}
        """
    )
    argv = [*pin(bed.core), "nginx", "-p", str(bed.folder), "-e", f"{bed.folder}/nginx.log"]
    return Contestant("nginx", url, [_spawn([*argv, "-c", f"{bed.folder}/nginx.conf"], ())])


def relay(upstream: str, core: int | None = None) -> Contestant:
    """A bare Python relay: tests/bench/relay.py."""
    listener = bind("127.0.0.1", 0)
    argv = [*_module("relay"), str(listener.fileno()), upstream]
    process = _spawn(argv if core is None else [*pin(core), *argv], [listener])
    contestant = Contestant("bare relay", url_of(listener), [process])
    listener.close()
    return contestant


def moorage(bed: Bed) -> Contestant:
    """A gateway process as `moorage serve` starts it, following a table, its request log on."""
    table, token = f"{bed.folder}/table.sock", secrets.token_hex(16)
    tables = _spawn([*pin(bed.load_core), *_module("tables"), table, token, bed.upstream], ())
    _wait(lambda: Path(table).exists(), "the table's socket")
    listener = bind("127.0.0.1", 0)
    argv = [*pin(bed.core), sys.executable, "-m", "moorage.gateway"]
    process = _spawn(argv, [listener], stdin=subprocess.PIPE)
    contestant = Contestant("moorage", url_of(listener), [process, tables])
    launch = GatewayLaunch(
        index=0, processes=1, listeners=(Listener(fd=listener.fileno()),), controller=f"unix:{table}", token=token,
        socket_dir=str(bed.folder), spool_dir=str(bed.folder), table_copy=None, header_timeout_s=10.0,
        body_timeout_s=60.0, idle_timeout_s=75.0, header_bytes=64 * 1024, drain_timeout_s=2.0, metrics=True,
        log_style="json", log_level="warning", log_file="/dev/null",
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(launch) + b"\n")
    process.stdin.flush()
    listener.close()
    return contestant


CONTESTANTS: dict[str, Callable[[Bed], Contestant]] = {
    "nginx": nginx,
    "relay": lambda bed: relay(bed.upstream, bed.core),
    "moorage": moorage,
}


def check(contestant: Contestant, kind: Kind) -> int:
    """Call it once. Returns the reply's size; raises SystemExit where it is not as it should be."""
    reply = _answer(contestant, BODIES[kind])
    part = '"completion_tokens": 64' if kind == "unary" else "data: [DONE]\n\n"
    if part not in reply:
        raise SystemExit(f"{contestant.name} does not answer as it should: {part!r} is not in {reply[:500]!r}")
    return len(reply)


def _answer(contestant: Contestant, body: bytes) -> str:
    """Its reply, once it serves."""
    end = time.monotonic() + START_S
    while True:
        request = urllib.request.Request(contestant.url, data=body, headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=5) as reply:
                return reply.read().decode()
        except OSError as error:
            if contestant.processes[0].poll() is not None:
                raise SystemExit(f"{contestant.name} ended with {contestant.processes[0].returncode}") from error
            if time.monotonic() > end:
                raise SystemExit(f"{contestant.name} does not answer: {error}") from error
        time.sleep(0.05)


def _module(name: str) -> list[str]:
    return [sys.executable, "-m", f"tests.bench.{name}"]


def _spawn(
    argv: list[str], listeners: Sequence[socket.socket], stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    root = Path(__file__).parents[2]
    return subprocess.Popen(argv, stdin=stdin, pass_fds=[one.fileno() for one in listeners], cwd=root)


def _wait(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + START_S
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"not there within {START_S:g} s: {what}")
        time.sleep(0.02)
