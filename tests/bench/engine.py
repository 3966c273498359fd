"""What the gateway costs in front of a real engine: streams through it and straight at the runtime, in pairs.

    python -m tests.bench.engine [--pairs N] [--tokens N] [--relay] [--json FILE]

Starts `moorage serve` with the default model and a state folder of its own. In each pair the same load goes to the
runtime's Unix socket and through the gateway, the order alternating. Ratios are gateway ÷ runtime; the interval is at
least 95 % of their median, by order statistics (the sign test turned round).
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from moorage.http.client import Client
from moorage.serve.bench import Bench, Round, Side, Workload
from moorage.serve.bench_report import MEASURES, Measure, good, median_interval, percentile
from moorage.serve.state import State
from moorage.wire import table as wire
from moorage.wire.table import Snapshot, TargetRow
from tests.bench import contestants, machine
from tests.bench.report import print_table
from tests.e2e.product import Product

RUNTIME, GATEWAY, RELAY = 0, 1, 2
"""The sides of the benchmark."""
STREAMS = (1, 16)
PROMPT_TOKENS = 32
READY_S = 300.0
"""The model may have to be downloaded."""
PACKAGES = ("moorage", "xllamacpp", "uvicorn", "uvloop", "httptools", "aiohttp", "msgspec")
SHOWN = ("time to first token", "per token, mean of a call", "whole call", "output")


@dataclass(frozen=True)
class Compared:
    """One measure: medians over the rounds, and the ratio of the pairs."""

    name: str
    unit: str
    runtime: float
    gateway: float
    pairs: int
    ratio: float
    low: float | None
    """None below 6 pairs."""
    high: float | None


@dataclass
class Spent:
    """Processor time of the gateway, or of the bare relay: while it relays, and while other sides are called."""

    pid: int
    busy_s: float = 0.0
    busy_wall_s: float = 0.0
    idle_s: float = 0.0
    idle_wall_s: float = 0.0
    chunks: int = 0
    """Events with content relayed."""

    def report(self) -> dict[str, float]:
        """The background, what is taken while others are called, is for the gateway following the table."""
        background = self.idle_s / self.idle_wall_s
        return {
            "chunks": self.chunks,
            "cpu_us_per_chunk": self.busy_s * 1e6 / self.chunks,
            "cpu_us_per_chunk_less_background": (self.busy_s - background * self.busy_wall_s) * 1e6 / self.chunks,
            "background_share": background,
        }


class Meter:
    """Tells apart what processes take in the rounds that go through them and in the others."""

    def __init__(self, bench: Bench, pids: dict[int, int]) -> None:
        """`pids` by side."""
        self._bench = bench
        self.spent = {side: Spent(pid) for side, pid in pids.items()}
        self._last = self._read()

    def on_call(self) -> None:
        """To be told of every call that ended; a round is over with its last one."""
        rounds, requests = self._bench.rounds, self._bench.workload.requests
        if rounds and len(rounds[-1].samples) < requests:
            return
        (at, before), self._last = self._last, self._read()
        if not rounds:
            return
        one, (now, after) = rounds[-1], self._last
        for side, spent in self.spent.items():
            if side == one.side:
                spent.busy_s += after[side] - before[side]
                spent.busy_wall_s += now - at
                spent.chunks += sum(len(sample.gaps_s) + (sample.first_s is not None) for sample in one.samples)
            else:
                spent.idle_s += after[side] - before[side]
                spent.idle_wall_s += now - at

    def _read(self) -> tuple[float, dict[int, float]]:
        return time.perf_counter(), {side: machine.cpu_s(spent.pid) for side, spent in self.spent.items()}


def main() -> None:
    options = _options()
    machine.end_orderly()
    about = machine.facts()
    with tempfile.TemporaryDirectory(prefix="mb-") as folder, Product(Path(folder)) as product:
        print("starting moorage serve", file=sys.stderr)
        product.start().ready(READY_S)
        report: dict[str, Any] = {
            "machine": about,
            "versions": machine.versions(
                "moorage", "xllamacpp", "uvicorn", "uvloop", "httptools", "aiohttp", "msgspec"
            ),
            "interval": "at least 95 % of the median of the ratios, by order statistics (sign test)",
        } | asyncio.run(measure(product, options))
    show(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench-engine", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=15, help="pairs of rounds, 6 or more for an interval (15)")
    parser.add_argument("--tokens", type=int, default=128, help="tokens of each reply (128)")
    parser.add_argument("--calls", type=int, default=4, help="calls of a round with one stream (4)")
    parser.add_argument("--relay", action="store_true", help="measure a bare Python relay too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything as JSON")
    options = parser.parse_args()
    if options.pairs < 1 or options.tokens < 2 or options.calls < 1:
        parser.error("--pairs and --calls are at least 1, --tokens 2")
    return options


async def measure(product: Product, options: argparse.Namespace) -> dict[str, Any]:
    cases: list[dict[str, Any]] = []
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(Client())
        target = await runtime_of(product, client)
        runtime = Side(url=target.address, model=target.model, api_key=target.token)
        sides = [runtime, Side(url=product.url, model=target.model)]
        pids = {GATEWAY: product.processes()["gateway"][0].pid}
        if options.relay:
            relay = contestants.relay(target.address)
            stack.callback(relay.stop)
            sides.append(Side(url=relay.address, model=target.model, api_key=target.token))
            pids[RELAY] = relay.pid
        for streams in STREAMS:
            workload = Workload(
                concurrency=streams,
                requests=max(streams, options.calls),
                rounds=options.pairs,
                prompt_tokens=PROMPT_TOKENS,
                output_tokens=options.tokens,
                ignore_eos=True,
            )
            bench = Bench(workload, sides)
            meter = Meter(bench, pids)
            print(f"{options.pairs} pairs with streams at once: {streams}", file=sys.stderr)
            await bench.run(client, meter.on_call)
            refuse_broken(bench)
            compared = [asdict(compare(one, bench.rounds)) for one in MEASURES if one.name in SHOWN]
            spent = {"gateway" if side == GATEWAY else "relay": one.report() for side, one in meter.spent.items()}
            cases.append({"streams": streams, "measures": compared, "cpu": spent})
    memory = [
        {"role": role, "pid": one.pid, **asdict(machine.memory(one.pid))}
        for role, group in product.processes().items()
        for one in group
    ]
    return {"model": target.model, "slots": target.capacity, "tokens": options.tokens, "cases": cases, "memory": memory}


async def runtime_of(product: Product, client: Client) -> TargetRow:
    """Where the runtime listens and what token it wants: only the table knows, and only gateways may read it."""
    state = State(product.folder / "state", str(product.port))
    address, path = f"unix:{state.run}/controller.sock", f"/internal/v1/table?process=bench&pid={os.getpid()}"
    line = bytearray()
    async with client.call(address, "GET", path, token=state.token()) as reply:
        async for chunk in reply.chunks():
            line += chunk
            if b"\n" in chunk:
                break
    table = wire.decode(bytes(line.partition(b"\n")[0]))
    assert isinstance(table, Snapshot)
    return next(row for row in table.targets.values() if row.state == "ready")


def refuse_broken(bench: Bench) -> None:
    errors = {sample.error for one in bench.rounds for sample in one.samples if sample.error}
    short = {
        sample.output_tokens
        for one in bench.rounds
        for sample in good(one.samples)
        if sample.output_tokens != bench.workload.output_tokens
    }
    if errors or short:
        raise SystemExit(f"calls failed: {errors or 'none'}; replies of other lengths: {short or 'none'}")


def compare(measure: Measure, rounds: Sequence[Round]) -> Compared:
    values: dict[int, dict[int, float]] = {RUNTIME: {}, GATEWAY: {}, RELAY: {}}
    for one in rounds:
        values[one.side][one.number] = _value(measure, one)
    runtime, gateway = values[RUNTIME], values[GATEWAY]
    ratios = [gateway[number] / runtime[number] for number in runtime]
    low, high = median_interval(ratios) or (None, None)
    return Compared(
        measure.name, measure.unit, median(runtime.values()), median(gateway.values()), len(ratios), median(ratios),
        low, high,
    )  # fmt: skip


def _value(measure: Measure, one: Round) -> float:
    """Of a whole round: a rate, or the median of its calls in milliseconds."""
    if measure.rate:
        value = measure.rate(one)
    else:
        known = [seconds for sample in one.samples for seconds in measure.of(sample) if seconds is not None]
        value = percentile([seconds * 1000 for seconds in known], 0.5)
    if value is None:
        raise SystemExit(f"a round without any {measure.name}")
    return value


def show(report: dict[str, Any]) -> None:
    for part in ("machine", "versions"):
        print(" · ".join(f"{name} {value}" for name, value in report[part].items()))
    print(f"{report['model']}, {report['slots']} slots, replies of {report['tokens']} tokens; medians of rounds")
    for case in report["cases"]:
        rows = [
            [f"streams at once: {case['streams']}", "unit", "runtime", "gateway", "pairs", "ratio", "95 % interval"]
        ]
        for one in case["measures"]:
            interval = "n/a" if one["low"] is None else f"{one['low']:.3f}–{one['high']:.3f}"
            numbers = [f"{one['runtime']:.1f}", f"{one['gateway']:.1f}", str(one["pairs"]), f"{one['ratio']:.3f}"]
            rows.append([one["name"], one["unit"], *numbers, interval])
        print()
        print_table(rows)
        for name, spent in case["cpu"].items():
            print(
                f"{name} CPU a relayed chunk: {spent['cpu_us_per_chunk']:.0f} µs, "
                f"{spent['cpu_us_per_chunk_less_background']:.0f} µs less its background "
                f"({spent['background_share']:.1%} of a core), over {spent['chunks']} chunks"
            )
    print()
    rows = [["process", "pid", "RSS MB", "PSS MB"]]
    for one in report["memory"]:
        rows.append([one["role"], str(one["pid"]), f"{one['rss_bytes'] / 1e6:.0f}", f"{one['pss_bytes'] / 1e6:.0f}"])
    print_table(rows)
    if warning := machine.busy(report["machine"]):
        print(f"warning: {warning}", file=sys.stderr)


if __name__ == "__main__":
    main()
