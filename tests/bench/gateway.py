"""Moorage's gateway on one core, next to nginx and a bare Python relay, in front of an engine that costs nothing.

    python -m tests.bench.gateway [--rounds N] [--seconds S] [--json FILE]

The contestant has one core; the engine and wrk share another. Contestants take turns, in an order that shifts each
round, so that what drifts meets all alike.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench import backend, contestants, machine, wrk
from tests.bench.contestants import BODIES, CONTESTANTS, Bed, Contestant, Kind
from tests.bench.report import print_table

COMPLETE_SHARE = 0.9
"""wrk's bytes for each reply, of what a checked reply has: below it, replies were cut."""


@dataclass(frozen=True)
class Case:
    name: str
    kind: Kind
    connections: int


CASES = (
    Case("unary c=1", "unary", 1),
    Case("unary c=32", "unary", 32),
    Case("stream c=1", "stream", 1),
    Case("stream c=32", "stream", 32),
    Case("paced c=1", "paced", 1),
    Case("paced c=16", "paced", 16),
)


@dataclass(frozen=True)
class Result:
    """One contestant in one case of one round."""

    contestant: str
    case: str
    round: int
    per_s: float
    p50_us: int
    p99_us: int
    cpu_us: float
    """The contestant's processor time for a reply; for a chunk where streams are paced."""


@dataclass(frozen=True)
class Column:
    """Of a table of the report."""

    table: str
    name: str
    case: str
    of: Callable[[Result], float]


def main() -> None:
    options = _options()
    machine.end_orderly()
    need("wrk", "nginx")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("two cores are needed: one for the gateway, one for the load")
    about = machine.facts()
    os.sched_setaffinity(0, {cores[1]})
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mb-")))
        running = start(stack, folder, (cores[0], cores[1]), options)
        results = measure(running, folder, contestants.pin(cores[1]), options)
        memory = {one.name: asdict(machine.memory_of_all(one.pid)) for one in running}
    versions = machine.versions("moorage", "uvicorn", "uvloop", "httptools", "aiohttp", "msgspec")
    versions |= {"nginx": nginx_version(), "wrk": wrk.version()}
    report: dict[str, Any] = {
        "machine": about,
        "versions": versions,
        "upstream": options.upstream,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "results": [asdict(one) for one in results],
        "memory": memory,
    }
    show(report, results)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench-gateway", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="rounds over all contestants (5)")
    parser.add_argument("--seconds", type=int, default=3, help="of each case (3)")
    parser.add_argument("--upstream", choices=("unix", "tcp"), default="unix", help="how they reach the engine (unix)")
    parser.add_argument("--only", default=",".join(CONTESTANTS), help="contestants, by comma (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything as JSON")
    options = parser.parse_args()
    options.only = options.only.split(",")
    if unknown := set(options.only) - set(CONTESTANTS):
        parser.error(f"no such contestant: {', '.join(sorted(unknown))}; there are {', '.join(CONTESTANTS)}")
    return options


def need(*programs: str) -> None:
    """Install what is missing, where this user may."""
    missing = [name for name in programs if shutil.which(name) is None]
    if not missing:
        return
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise SystemExit(f"missing: {', '.join(missing)}; as root: {' '.join(command)}")
    print(f"installing {', '.join(missing)}", file=sys.stderr)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if "nginx" in missing and shutil.which("service"):
        # The package starts a web server, which nobody asked for.
        subprocess.run(["service", "nginx", "stop"], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def start(stack: ExitStack, folder: Path, cores: tuple[int, int], options: argparse.Namespace) -> list[Contestant]:
    core, load_core = cores
    direct, tcp, unix = contestants.engine(folder, load_core)
    stack.callback(direct.stop)
    bed = Bed(folder, core, load_core, unix if options.upstream == "unix" else tcp)
    running = [direct]
    for name in options.only:
        one = CONTESTANTS[name](bed)
        stack.callback(one.stop)
        running.append(one)
    return running


def measure(running: list[Contestant], folder: Path, prefix: list[str], options: argparse.Namespace) -> list[Result]:
    """Raises SystemExit when a contestant answers wrongly, or one of wrk's calls fails."""
    scripts: dict[Kind, Path] = {kind: wrk.script(folder / f"{kind}.lua", body) for kind, body in BODIES.items()}
    sizes: dict[tuple[str, Kind], int] = {}
    for one in running:
        for kind, script in scripts.items():
            sizes[one.name, kind] = contestants.check(one, kind)
            wrk.run(prefix, script, one.url, 32, 1)
    results: list[Result] = []
    for number in range(options.rounds):
        at = number % len(running)
        for case in CASES:
            for one in running[at:] + running[:at]:
                _progress(f"round {number + 1}/{options.rounds}: {case.name}, {one.name}")
                before_s = machine.cpu_s(one.pid)
                shot = wrk.run(prefix, scripts[case.kind], one.url, case.connections, options.seconds)
                cpu_s = machine.cpu_s(one.pid) - before_s
                _refuse_broken(one, case, shot, sizes[one.name, case.kind])
                cpu_us = cpu_s * 1e6 / (_chunks(shot) if case.kind == "paced" else shot.requests)
                results.append(Result(one.name, case.name, number, shot.rate, shot.p50_us, shot.p99_us, cpu_us))
    _progress("")
    return results


def _chunks(shot: wrk.Shot) -> float:
    """Those of streams that the end of the run cut too, so not to be had from the number of replies."""
    return shot.bytes * len(backend.STREAM) / sum(map(len, backend.STREAM))


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text}\033[K", end="", file=sys.stderr, flush=True)


def _refuse_broken(one: Contestant, case: Case, shot: wrk.Shot, size: int) -> None:
    if shot.errors or not shot.requests:
        raise SystemExit(f"{one.name}, {case.name}: {shot.requests} replies, errors {shot.errors}")
    # The end of a run cuts streams, which adds bytes; nothing but a fault takes any away.
    if shot.bytes / shot.requests < COMPLETE_SHARE * size:
        raise SystemExit(f"{one.name}, {case.name}: replies of {shot.bytes / shot.requests:.0f} bytes, not {size}")


COLUMNS = (
    Column("unary", "c=1 p50 µs", "unary c=1", lambda one: one.p50_us),
    Column("unary", "c=1 p99 µs", "unary c=1", lambda one: one.p99_us),
    Column("unary", "c=32 requests/s", "unary c=32", lambda one: one.per_s),
    Column("unary", "c=32 CPU µs each", "unary c=32", lambda one: one.cpu_us),
    Column("streams of 64 chunks", "c=1 p50 µs", "stream c=1", lambda one: one.p50_us),
    Column("streams of 64 chunks", "c=1 streams/s", "stream c=1", lambda one: one.per_s),
    Column("streams of 64 chunks", "c=32 streams/s", "stream c=32", lambda one: one.per_s),
    Column("streams of 64 chunks", "c=32 CPU µs each", "stream c=32", lambda one: one.cpu_us),
    Column("a chunk every 5 ms", "c=1 CPU µs a chunk", "paced c=1", lambda one: one.cpu_us),
    Column("a chunk every 5 ms", "c=16 CPU µs a chunk", "paced c=16", lambda one: one.cpu_us),
)


def show(report: dict[str, Any], results: list[Result]) -> None:
    print(" · ".join(f"{name} {value}" for name, value in report["machine"].items()))
    print(" · ".join(f"{name} {value}" for name, value in report["versions"].items()))
    print(
        f"{report['rounds']} rounds of {report['seconds']} s: median (lowest–highest round). One core each; "
        f"engine by {report['upstream']} socket, direct by tcp."
    )
    names = list(dict.fromkeys(one.contestant for one in results))
    for table in dict.fromkeys(column.table for column in COLUMNS):
        columns = [column for column in COLUMNS if column.table == table]
        rows = [[table, *(column.name for column in columns)]]
        rows += [[name, *(_spread(column, name, results) for column in columns)] for name in names]
        print()
        print_table(rows)
    memory = (f"{name} {report['memory'][name]['pss_bytes'] / 1e6:.0f}" for name in names)
    print("\nresident memory afterwards, PSS, MB: " + ", ".join(memory))
    if warning := machine.busy(report["machine"]):
        print(f"warning: {warning}", file=sys.stderr)


def _spread(column: Column, name: str, results: list[Result]) -> str:
    values = [column.of(one) for one in results if (one.contestant, one.case) == (name, column.case)]
    return f"{_number(median(values))} ({_number(min(values))}–{_number(max(values))})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def nginx_version() -> str:
    said = subprocess.run(["nginx", "-v"], check=False, capture_output=True, text=True).stderr
    return said.partition("nginx/")[2].strip() or "unknown"


if __name__ == "__main__":
    main()
