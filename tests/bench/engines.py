"""Moorage beside the bare engines: one small chat model through `moorage serve` with `engine: auto`, and without it.

    python -m tests.bench.engines [--rounds N] [--tokens N] [--prompts N] [--json FILE]

Two tables. In the first everyone reads 16-bit numbers, as GGUF or safetensors, made of the default model; in the second
each has the best that it can read of this model: the quantised GGUF, where it reads one. All engines stay loaded; the
rounds of one are interleaved with those of the others, in alternating order. Time to first token is of a prompt of 540
tokens nobody has seen (cold) and of the same prompt again (warm), one call at a time. An engine that is not installed
is left out and said.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from moorage.config.defaults import DEFAULT_MODEL
from moorage.config.model import ModelSpec
from moorage.config.places import default_cache_dir
from moorage.core.ports import Engine
from moorage.engines.openvino import OpenVino
from moorage.engines.transformers_serve import TransformersServe
from moorage.engines.vllm import Vllm
from moorage.environments.discovery import installations
from moorage.http.client import Client
from moorage.models.store import ModelStore
from moorage.serve.bench import Bench, Side, Workload
from moorage.serve.bench_report import good
from moorage.wire.control import Installation
from tests.bench import machine, weights
from tests.bench.report import print_table
from tests.bench.served import TOKEN, Served
from tests.e2e.product import Product
from tests.engines import llama_server, vllm_parts

STREAMS = (1, 16)
PROMPT_TOKENS = 540
READY_S = 300.0
SLOTS = 16


@dataclass
class Contestant:
    name: str
    numbers: str
    """In which it computes, as its file says."""
    side: Side
    pid: int
    ready_s: float
    tokens_per_s: dict[int, float] = field(default_factory=dict[int, float])
    cold_ms: float = 0.0
    warm_ms: float = 0.0
    pss_bytes: int = 0


@dataclass(frozen=True)
class Entry:
    """Who takes part with which file; without an engine it is Moorage as a whole."""

    name: str
    model: Path
    numbers: str
    engine: Engine | None = None
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    found: tuple[Installation, ...] = ()


def main() -> None:
    options = _options()
    machine.end_orderly()
    about = machine.facts()
    tables: dict[str, Any] = {}
    few = asyncio.run(ModelStore(default_cache_dir()).fetch(DEFAULT_MODEL.source, DEFAULT_MODEL.sha256))
    half, folder_16 = weights.half(few), vllm_parts.smollm2(few)
    for title, entries in (
        ("the same 16-bit weights", contestants(half, "16-bit GGUF", folder_16)),
        ("the best each can read", contestants(few, "Q4_1", folder_16)),
    ):
        print(title, file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="mb-") as folder:
            tables[title] = asyncio.run(measure(entries, Path(folder), options))
    report = {"machine": about, "tables": tables}
    show(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench-engines", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="rounds of calls, each with every contestant (5)")
    parser.add_argument("--tokens", type=int, default=64, help="tokens of each reply (64)")
    parser.add_argument("--prompts", type=int, default=7, help="prompts for the time to first token (7)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything as JSON")
    return parser.parse_args()


def contestants(gguf: Path, numbers: str, folder: Path) -> list[Entry]:
    return [
        Entry("Moorage, engine: auto", gguf, numbers),
        Entry("bare OpenVINO", gguf, numbers, OpenVino()),
        *_llama(gguf, numbers),
        *_program("bare vLLM", "vllm", Vllm(), folder, "bfloat16"),
        *_program("transformers serve", "transformers", TransformersServe(), folder, "bfloat16"),
    ]


def _llama(model: Path, numbers: str) -> list[Entry]:
    if why := llama_server.missing():
        print(f"left out: llama-server, {why}", file=sys.stderr)
        return []
    found = (llama_server.installation(),)
    return [Entry("bare llama.cpp", model, numbers, llama_server.engine, found=found)]


def _program(name: str, engine: str, adapter: Engine, model: Path, numbers: str) -> list[Entry]:
    found = tuple(one for one in installations(default_cache_dir(), os.environ) if one.engine == engine)
    if not found:
        print(f"left out: {name}, moorage engine install {engine}", file=sys.stderr)
        return []
    return [Entry(name, model, numbers, adapter, found=found)]


async def measure(entries: list[Entry], folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(Client())
        contestants = [await stack.enter_async_context(started(entry, folder)) for entry in entries]
        for contestant in contestants:
            print(f"  {contestant.name}: ready in {contestant.ready_s:.1f} s", file=sys.stderr)
        await first_tokens(client, contestants, options.prompts)
        for streams in STREAMS:
            await throughput(client, contestants, streams, options)
        for contestant in contestants:
            contestant.pss_bytes = machine.memory_of_all(contestant.pid).pss_bytes
        return [asdict(contestant) | {"side": contestant.side.model} for contestant in contestants]


@asynccontextmanager
async def started(entry: Entry, folder: Path) -> AsyncGenerator[Contestant]:
    began = time.monotonic()
    if entry.engine is None:
        place = folder / "moorage"
        place.mkdir()
        model = {"name": "m", "source": str(entry.model), "options": {"max_sequences": SLOTS}}
        with Product(place, {"models": [model]}) as product:
            await asyncio.to_thread(lambda: product.start().ready(READY_S))
            assert product.process is not None
            took_s = time.monotonic() - began
            yield Contestant(entry.name, entry.numbers, Side(url=product.url, model="m"), product.process.pid, took_s)
        return
    spec = ModelSpec.model_validate(
        {"name": "m", "source": str(entry.model), "options": {"max_sequences": SLOTS, **entry.options}}
    )
    served = Served(entry.name, entry.engine, spec, entry.model, folder, installations=entry.found, start_s=READY_S)
    async with served:
        took_s = time.monotonic() - began
        strict = entry.engine.name == "transformers"
        side = Side(url=served.launch.address, model=served.launch.served_name, api_key=TOKEN, strict=strict)
        yield Contestant(entry.name, entry.numbers, side, served.pid, took_s)


async def first_tokens(client: Client, contestants: list[Contestant], prompts: int) -> None:
    """Medians over prompts of the cold and the warm call; every contestant gets each prompt before the next comes."""
    cold: dict[str, list[float]] = {one.name: [] for one in contestants}
    warm: dict[str, list[float]] = {one.name: [] for one in contestants}
    for number in range(-1, prompts):
        for contestant in contestants if number % 2 else reversed(contestants):
            for kept in (cold, warm):
                # The same seed gives the same prompt: the second call finds what the first left.
                workload = Workload(
                    requests=1, rounds=1, warmup=0, prompt_tokens=PROMPT_TOKENS, output_tokens=2, seed=1000 + number
                )
                bench = Bench(workload, [contestant.side])
                await bench.run(client)
                (sample,) = bench.rounds[0].samples
                if sample.error or sample.first_s is None:
                    raise SystemExit(f"{contestant.name} failed: {sample.error or 'no token came'}")
                if number >= 0:
                    kept[contestant.name].append(sample.first_s * 1000)
    for contestant in contestants:
        contestant.cold_ms, contestant.warm_ms = median(cold[contestant.name]), median(warm[contestant.name])


async def throughput(client: Client, contestants: list[Contestant], streams: int, options: argparse.Namespace) -> None:
    workload = Workload(
        concurrency=streams,
        requests=max(streams, 4),
        rounds=options.rounds,
        warmup=streams,
        prompt_tokens=32,
        output_tokens=options.tokens,
        ignore_eos=True,
    )
    bench = Bench(workload, [contestant.side for contestant in contestants])
    print(f"  streams at once: {streams}", file=sys.stderr)
    await bench.run(client)
    for index, contestant in enumerate(contestants):
        rounds = [one for one in bench.rounds if one.side == index]
        errors = {sample.error for one in rounds for sample in one.samples if sample.error}
        if errors:
            raise SystemExit(f"{contestant.name} failed: {errors}")
        rates = [sum(sample.output_tokens or 0 for sample in good(one.samples)) / one.wall_s for one in rounds]
        contestant.tokens_per_s[streams] = median(rates)


def show(report: dict[str, Any]) -> None:
    print(" · ".join(f"{name} {value}" for name, value in report["machine"].items()))
    for title, contestants in report["tables"].items():
        head = [title, "numbers", *(f"tok/s at {streams}" for streams in STREAMS), "TTFT cold ms", "warm ms"]
        rows = [[*head, "ready s", "PSS MB"]]
        for one in contestants:
            rates = [f"{one['tokens_per_s'][streams]:.0f}" for streams in STREAMS]
            times = [f"{one['cold_ms']:.0f}", f"{one['warm_ms']:.1f}", f"{one['ready_s']:.1f}"]
            rows.append([one["name"], one["numbers"], *rates, *times, f"{one['pss_bytes'] / 1e6:.0f}"])
        print()
        print_table(rows)
    if warning := machine.busy(report["machine"]):
        print(f"warning: {warning}", file=sys.stderr)


if __name__ == "__main__":
    main()
