"""wrk, run once and read: Debian's HTTP load generator, one thread."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

GRACE_S = 10.0

_SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = %s

function done(summary, latency, requests)
  local e = summary.errors
  local report = '{"requests":%%d,"duration_us":%%d,"bytes":%%d,"p50_us":%%d,"p99_us":%%d,' ..
    '"connect":%%d,"read":%%d,"write":%%d,"status":%%d,"timeout":%%d}'
  io.write("\\n", string.format(report, summary.requests, summary.duration, summary.bytes, latency:percentile(50),
    latency:percentile(99), e.connect, e.read, e.write, e.status, e.timeout), "\\n")
end
"""


@dataclass(frozen=True)
class Shot:
    """One run."""

    requests: int
    seconds: float
    p50_us: int
    p99_us: int
    bytes: int
    errors: dict[str, int]
    """By kind, those that happened: connect, read, write, status (not 2xx or 3xx), timeout."""

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


def script(path: Path, body: bytes) -> Path:
    """Write the Lua script that posts `body`. One request is rendered once, so it costs wrk nothing."""
    path.write_text(_SCRIPT % json.dumps(body.decode()))
    return path


def run(prefix: list[str], lua: Path, url: str, connections: int, seconds: int) -> Shot:
    argv = [*prefix, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "5s", "-s", str(lua), url]
    out = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=seconds + GRACE_S).stdout
    report: dict[str, int] = json.loads(out.strip().splitlines()[-1])
    kinds = ("connect", "read", "write", "status", "timeout")
    return Shot(
        requests=report["requests"],
        seconds=report["duration_us"] / 1e6,
        p50_us=report["p50_us"],
        p99_us=report["p99_us"],
        bytes=report["bytes"],
        errors={kind: report[kind] for kind in kinds if report[kind]},
    )


def version() -> str:
    """wrk prints its version, and ends with 1."""
    words = subprocess.run(["wrk", "-v"], check=False, capture_output=True, text=True).stdout.split()
    return words[1] if len(words) > 1 else "unknown"
