"""What other work on the same machine costs a chat, and what the chat costs it: alone and side by side, in rounds.

    python -m tests.bench.beside [--rounds N] [--seconds S] [--json FILE]

Three runtimes as `moorage serve` starts them for its default set: one chat stream, one client that has 16 texts a call
embedded, and one that has a recording of ten seconds written down. Each is measured alone, then the chat beside each of
the others.
"""

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median

from moorage.config.defaults import DEFAULT_EMBEDDING, DEFAULT_MODEL, DEFAULT_SPEECH
from moorage.config.places import default_cache_dir
from moorage.engines.llamacpp import LlamaCpp
from moorage.engines.onnx import Onnx
from moorage.engines.whisper import FasterWhisper
from moorage.models.store import ModelStore
from moorage.serve.bench_report import percentile
from tests.bench import machine
from tests.bench.report import print_table
from tests.bench.served import Served

RECORDING = "pypi:useful-moonshine-onnx==20251121#moonshine_onnx/assets/beckett.wav"
RECORDING_SHA256 = "e5a26b3d29e5b0bc8dbd72c11d16a3808a4ec0ac45b21f12a27d2a2fe5c5ae61"
TEXTS = ["The harbour keeps its boats from wind and tide, and its cranes lift the cargo of the world."] * 16
PACKAGES = ("moorage", "xllamacpp", "onnxruntime", "faster-whisper", "ctranslate2")
UNITS = {"chat": "tokens/s", "embed": "texts/s", "speech": "seconds of recording/s"}


@dataclass
class Work:
    """What one client got done in one round."""

    done: float = 0.0
    seconds: float = 0.0
    gaps_ms: list[float] = field(default_factory=list[float])
    """Of the chat: times between pieces."""

    @property
    def rate(self) -> float:
        return self.done / self.seconds


@dataclass(frozen=True)
class Row:
    """Medians over the rounds: of the chat, and of what went on beside it."""

    beside: str
    chat: float
    chat_ratio: float
    gap_p50_ms: float | None
    gap_p99_ms: float | None
    other: float | None = None
    other_ratio: float | None = None


async def chat(served: Served, until: float) -> Work:
    """One reply after the other."""
    fields = {"prompt": "Once upon a time", "max_tokens": 128, "stream": True, "ignore_eos": True, "seed": 1}
    work, began = Work(), time.perf_counter()
    while time.perf_counter() < until:
        last = 0.0
        async with served.client.call(
            served.launch.address,
            "POST",
            "/v1/completions",
            body=json.dumps(fields).encode(),
            token=served.launch.token,
        ) as reply:
            async for chunk in reply.chunks():
                now = time.perf_counter()
                work.done += chunk.count(b"\n\n")
                if last:
                    work.gaps_ms.append((now - last) * 1e3)
                last = now
                if now > until:
                    break
    work.seconds = time.perf_counter() - began
    return work


async def embed(served: Served, until: float) -> Work:
    work, began = Work(), time.perf_counter()
    while time.perf_counter() < until:
        await served.post("/v1/embeddings", {"input": TEXTS, "encoding_format": "base64"})
        work.done += len(TEXTS)
    work.seconds = time.perf_counter() - began
    return work


async def transcribe(served: Served, until: float, recording: bytes) -> Work:
    part = b'--cut\r\nContent-Disposition: form-data; name="file"; filename="speech.wav"\r\n\r\n'
    body = part + recording + b"\r\n--cut--\r\n"
    work, began = Work(), time.perf_counter()
    while time.perf_counter() < until:
        status, content = await served.ask(
            "POST", "/v1/audio/transcriptions", body, {"Content-Type": "multipart/form-data; boundary=cut"}
        )
        if status != 200:
            raise SystemExit(f"the recording was answered with {status}: {content[:300]!r}")
        work.done += json.loads(content)["usage"]["seconds"]
    work.seconds = time.perf_counter() - began
    return work


class Bench:
    """The three runtimes, and rounds of work for them."""

    def __init__(self, served: dict[str, Served], recording: bytes, seconds: float) -> None:
        self._served = served
        self._recording = recording
        self._seconds = seconds

    async def round(self, *names: str) -> dict[str, Work]:
        """All of these at once."""
        until = time.perf_counter() + self._seconds
        found = await asyncio.gather(*(self._work(name, until) for name in names))
        return dict(zip(names, found, strict=True))

    async def _work(self, name: str, until: float) -> Work:
        served = self._served[name]
        if name == "chat":
            return await chat(served, until)
        if name == "embed":
            return await embed(served, until)
        return await transcribe(served, until, self._recording)


@contextlib.asynccontextmanager
async def started(seconds: float) -> AsyncGenerator[Bench]:
    store = ModelStore(default_cache_dir())
    recording = (await store.fetch(RECORDING, RECORDING_SHA256)).read_bytes()
    engines = {
        "chat": (LlamaCpp(), DEFAULT_MODEL),
        "embed": (Onnx(), DEFAULT_EMBEDDING),
        "speech": (FasterWhisper(), DEFAULT_SPEECH),
    }
    with tempfile.TemporaryDirectory(prefix="mb-") as folder:
        async with AsyncExitStack() as stack:
            served: dict[str, Served] = {}
            for name, (engine, spec) in engines.items():
                model = await store.fetch(spec.source, spec.sha256)
                served[name] = await stack.enter_async_context(Served(name, engine, spec, model, Path(folder)))
            yield Bench(served, recording, seconds)


async def measure(rounds: int, seconds: float) -> tuple[dict[str, float], list[Row]]:
    """Rates alone, and what is left of them side by side."""
    alone: dict[str, list[Work]] = {name: [] for name in UNITS}
    beside: dict[str, list[dict[str, Work]]] = {name: [] for name in UNITS if name != "chat"}
    async with started(seconds) as bench:
        for name in UNITS:
            await bench.round(name)
        for _ in range(rounds):
            for name, works in alone.items():
                works.append((await bench.round(name))[name])
            for name, pairs in beside.items():
                pairs.append(await bench.round("chat", name))
    rates = {name: median(work.rate for work in works) for name, works in alone.items()}
    rows = [_row("nothing", alone["chat"], rates["chat"])]
    for name, pairs in beside.items():
        other = median(pair[name].rate for pair in pairs)
        row = _row(name, [pair["chat"] for pair in pairs], rates["chat"])
        rows.append(replace(row, other=other, other_ratio=other / rates[name]))
    return rates, rows


def _row(beside: str, works: list[Work], alone: float) -> Row:
    gaps = [gap for work in works for gap in work.gaps_ms]
    rate = median(work.rate for work in works)
    return Row(beside, rate, rate / alone, percentile(gaps, 0.5), percentile(gaps, 0.99))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=5.0, help="of one round")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    machine.end_orderly()
    about = machine.facts()
    rates, rows = asyncio.run(measure(options.rounds, options.seconds))
    print("alone: " + ", ".join(f"{name} {rate:.1f} {UNITS[name]}" for name, rate in rates.items()))
    head = ("chat beside", "tokens/s", "× alone", "gap p50 ms", "gap p99 ms", "the other", "× alone")
    print_table([head, *(_cells(row) for row in rows)])
    if warning := machine.busy(about):
        print(warning, file=sys.stderr)
    if options.json:
        report = {
            "machine": about,
            "versions": machine.versions(*PACKAGES),
            "alone": rates,
            "beside": [asdict(row) for row in rows],
        }
        options.json.write_text(json.dumps(report, indent=1) + os.linesep)


def _cells(row: Row) -> tuple[str, ...]:
    numbers = (row.chat, row.chat_ratio, row.gap_p50_ms, row.gap_p99_ms, row.other, row.other_ratio)
    return row.beside, *("" if number is None else f"{number:.2f}" for number in numbers)


if __name__ == "__main__":
    main()
