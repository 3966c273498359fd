"""Embeddings per second of the encoder runtime, beside bare ONNX Runtime on batches of the same size, in pairs.

    python -m tests.bench.encoder [--pairs N] [--seconds S] [--model PATH] [--json FILE]

Clients that each send one text at a time to the runtime's Unix socket; then the same number of texts, as tokens, in
batches as large as those calls shared, straight into a session in this process. What the runtime adds is HTTP, JSON,
tokens and pooling, and what the clients take of the same cores. In each pair the order alternates.
"""

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from moorage.config.defaults import DEFAULT_EMBEDDING
from moorage.config.places import default_cache_dir
from moorage.core.ports import LaunchOrder
from moorage.engines.onnx import Onnx
from moorage.errors import MoorageError
from moorage.http.client import Client
from moorage.models import files
from moorage.models.store import ModelStore
from moorage.runtimes.encoding.port import Item
from moorage.runtimes.onnx.model import Model
from moorage.runtimes.onnx.session import Stop
from moorage.serve.bench_report import percentile
from moorage.wire import runtime
from moorage.wire.control import Machine
from moorage.wire.runtime import EncoderSettings
from tests.bench import machine
from tests.bench.report import print_table

CLIENTS = (1, 16, 64)
TEXTS = {
    "short": "How long may a ship lie at the pier of the old harbour?",
    "long": "The harbour keeps its boats from wind and tide, and its cranes lift the cargo of the world. " * 11,
}
PACKAGES = ("moorage", "onnxruntime", "tokenizers", "numpy", "uvicorn", "uvloop", "msgspec")
TOKEN = "bench"


@dataclass
class Round:
    """Texts of one side in one round."""

    texts: int
    seconds: float
    batch: float
    """Mean texts of a step."""
    latencies_s: list[float]

    @property
    def rate(self) -> float:
        return self.texts / self.seconds


@dataclass(frozen=True)
class Compared:
    """Medians over the rounds of one workload; rates in texts per second."""

    text: str
    tokens: int
    clients: int
    runtime: float
    bare: float
    ratio: float
    batch: float
    p50_ms: float
    p99_ms: float


class Served:
    """The runtime as a process, started as a worker would. `async with`."""

    def __init__(self, model: Path, folder: Path) -> None:
        facts = files.facts(model)
        here = Machine(hostname="bench", cores=os.cpu_count() or 1, memory_bytes=8 << 30)
        order = LaunchOrder(
            replica="bench",
            model=DEFAULT_EMBEDDING,
            facts=facts,
            machine=here,
            socket=f"{folder}/engine.sock",
            token=TOKEN,
        )
        self._launch = Onnx().launch(order)
        ((self._path, content),) = self._launch.files.items()
        Path(self._path).write_bytes(content)
        self.settings = runtime.decode(EncoderSettings, content)
        self._client = Client()
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> "Served":
        self._process = await asyncio.create_subprocess_exec(
            *self._launch.argv, env={**os.environ, **self._launch.env}, stderr=asyncio.subprocess.DEVNULL
        )
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(MoorageError):
                if (await self._ask("GET", "/health"))[0] == 200:
                    return self
            if time.monotonic() > deadline:
                raise SystemExit("the runtime did not become ready")
            await asyncio.sleep(0.05)

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()

    async def round(self, text: str, clients: int, seconds: float) -> Round:
        body = json.dumps({"input": text, "encoding_format": "base64"}).encode()
        latencies: list[float] = []
        before = await self._counters()
        began = time.perf_counter()

        async def client() -> None:
            while time.perf_counter() - began < seconds:
                asked = time.perf_counter()
                status, content = await self._ask("POST", "/v1/embeddings", body)
                assert status == 200, content
                latencies.append(time.perf_counter() - asked)

        await asyncio.gather(*(client() for _ in range(clients)))
        took = time.perf_counter() - began
        texts, steps = (now - then for now, then in zip(await self._counters(), before, strict=True))
        return Round(len(latencies), took, texts / steps, latencies)

    async def _counters(self) -> tuple[float, float]:
        """Texts and steps so far."""
        _, content = await self._ask("GET", "/metrics")
        values = dict(line.split() for line in content.decode().splitlines() if not line.startswith("#"))
        return float(values["moorage_runtime_texts_total"]), float(values["moorage_runtime_steps_total"])

    async def _ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        address = self._launch.address
        async with self._client.call(address, method, path, body=body, token=TOKEN, timeout_s=60) as reply:
            return reply.status, await reply.read()


def bare(model: Model, item: Item, batch: int, seconds: float) -> Round:
    """The session alone, with the pooling left out."""
    session, stop = model.session, Stop()
    output = session.outputs.states or session.outputs.sentence
    assert output is not None
    texts, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        session.run([item] * batch, output, stop)
        texts += batch
    return Round(texts, time.perf_counter() - began, batch, [])


async def compare(served: Served, model: Model, name: str, clients: int, pairs: int, seconds: float) -> Compared:
    (item,) = model.tokenizer.items([TEXTS[name]], special=True, cut=None)
    await served.round(TEXTS[name], clients, seconds / 4)
    sides: list[tuple[Round, Round]] = []
    batch = 1
    for pair in range(pairs):
        if pair % 2:
            alone = bare(model, item, batch, seconds)
            through = await served.round(TEXTS[name], clients, seconds)
        else:
            through = await served.round(TEXTS[name], clients, seconds)
            batch = max(1, round(through.batch))
            alone = bare(model, item, batch, seconds)
        sides.append((through, alone))
    latencies = [latency for through, _ in sides for latency in through.latencies_s]
    return Compared(
        text=name,
        tokens=len(item.ids),
        clients=clients,
        runtime=median(through.rate for through, _ in sides),
        bare=median(alone.rate for _, alone in sides),
        ratio=median(through.rate / alone.rate for through, alone in sides),
        batch=median(through.batch for through, _ in sides),
        p50_ms=(percentile(latencies, 0.5) or 0.0) * 1e3,
        p99_ms=(percentile(latencies, 0.99) or 0.0) * 1e3,
    )


async def measure(options: argparse.Namespace) -> list[Compared]:
    path = options.model or await ModelStore(default_cache_dir()).fetch(
        DEFAULT_EMBEDDING.source, DEFAULT_EMBEDDING.sha256
    )
    with tempfile.TemporaryDirectory(prefix="mb-") as folder:
        async with Served(Path(path), Path(folder)) as served:
            model = Model(served.settings)
            return [
                await compare(served, model, name, clients, options.pairs, options.seconds)
                for name in TEXTS
                for clients in CLIENTS
            ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=2.0, help="of one round of one side")
    parser.add_argument("--model", type=Path, help="a folder or .onnx file; the default embedding model if left out")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    machine.end_orderly()
    about = machine.facts()
    found = asyncio.run(measure(options))
    head = ("text", "tokens", "clients", "texts/s", "bare/s", "ratio", "batch", "p50 ms", "p99 ms")
    rows = [
        (
            *(one.text, str(one.tokens), str(one.clients), f"{one.runtime:.0f}", f"{one.bare:.0f}", f"{one.ratio:.2f}"),
            *(f"{one.batch:.1f}", f"{one.p50_ms:.1f}", f"{one.p99_ms:.1f}"),
        )
        for one in found
    ]
    print_table([head, *rows])
    if warning := machine.busy(about):
        print(warning, file=sys.stderr)
    if options.json:
        report = {
            "machine": about,
            "versions": machine.versions(*PACKAGES),
            "results": [asdict(one) for one in found],
        }
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
