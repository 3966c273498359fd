"""Embeddings per second of the encoder runtime, beside llama.cpp with the same model and bare ONNX Runtime, in rounds.

    python -m tests.bench.encoder [--rounds N] [--seconds S] [--json FILE]

Clients that each send one text at a time to a runtime's Unix socket: the default model as it is, in 8-bit integers, as
OpenVINO's IR with weights in 16 bits, and as a 16-bit GGUF file in llama.cpp; then the same number of texts, as tokens,
in batches as large as those calls shared, straight into a session in this process. What the runtime adds to that is
HTTP, JSON, tokens and pooling, and what the clients take of the same cores. Sides take turns, in an order that shifts
each round. At the end one call ranks a hundred documents.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from moorage.config.defaults import DEFAULT_EMBEDDING
from moorage.config.model import EngineOptions
from moorage.config.places import default_cache_dir
from moorage.engines.llamacpp import LlamaCpp
from moorage.engines.onnx import Onnx
from moorage.engines.openvino import OpenVino
from moorage.models.store import ModelStore
from moorage.runtimes.encoding.graphs.model import Model
from moorage.runtimes.encoding.graphs.session import Stop
from moorage.runtimes.encoding.port import Item
from moorage.runtimes.onnx.files import opened
from moorage.serve.bench_report import percentile
from moorage.wire import runtime
from moorage.wire.runtime import EncoderSettings
from tests import openvino_ir
from tests.bench import machine
from tests.bench.report import print_table
from tests.bench.served import Served
from tests.bert_gguf import write

CLIENTS = (1, 16, 64)
TEXTS = {
    "short": "How long may a ship lie at the pier of the old harbour?",
    "long": "The harbour keeps its boats from wind and tide, and its cranes lift the cargo of the world. " * 11,
}
DOCUMENTS = 100
BARE = "bare ONNX Runtime"
PACKAGES = ("moorage", "onnxruntime", "openvino", "xllamacpp", "tokenizers", "numpy", "uvicorn", "uvloop", "msgspec")


@dataclass
class Round:
    """Texts of one side in one round."""

    texts: int
    seconds: float
    latencies_s: list[float]
    batch: float | None = None
    """Mean texts of a step, where the side tells it."""

    @property
    def rate(self) -> float:
        return self.texts / self.seconds


@dataclass(frozen=True)
class Row:
    """Medians over the rounds of one side and workload; the rate in texts per second."""

    side: str
    text: str
    clients: int
    rate: float
    ratio: float
    """Of the rate to the plain runtime's, round by round."""
    p50_ms: float | None
    p99_ms: float | None
    batch: float | None


async def through(served: Served, text: str, clients: int, seconds: float) -> Round:
    body = {"input": text, "encoding_format": "base64"}
    latencies: list[float] = []
    before = await served.metrics()
    began = time.perf_counter()

    async def client() -> None:
        while time.perf_counter() - began < seconds:
            asked = time.perf_counter()
            await served.post("/v1/embeddings", body)
            latencies.append(time.perf_counter() - asked)

    await asyncio.gather(*(client() for _ in range(clients)))
    took = time.perf_counter() - began
    after = await served.metrics()
    texts, steps = (
        after.get(name, 0) - before.get(name, 0)
        for name in ("moorage_runtime_texts_total", "moorage_runtime_steps_total")
    )
    return Round(len(latencies), took, latencies, texts / steps if steps else None)


def bare(model: Model, item: Item, batch: int, seconds: float) -> Round:
    """The session alone, with the pooling left out."""
    session, stop = model.session, Stop()
    output = session.outputs.states or session.outputs.sentence
    assert output is not None
    texts, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        session.run([item] * batch, output, stop)
        texts += batch
    return Round(texts, time.perf_counter() - began, [], float(batch))


async def compare(
    sides: Sequence[Served], model: Model, name: str, clients: int, rounds: int, seconds: float
) -> list[Row]:
    text, first = TEXTS[name], sides[0]
    (item,) = model.tokenizer.items([text], special=True, cut=None)
    for served in sides:
        await through(served, text, clients, seconds / 4)
    found: dict[str, list[Round]] = {served.name: [] for served in sides} | {BARE: []}
    for number in range(rounds):
        for served in [*sides[number % len(sides) :], *sides[: number % len(sides)]]:
            found[served.name].append(await through(served, text, clients, seconds))
        shared = found[first.name][-1].batch or 1
        found[BARE].append(bare(model, item, max(1, round(shared)), seconds))
    return [_row(side, name, clients, mine, found[first.name]) for side, mine in found.items()]


def _row(side: str, text: str, clients: int, mine: Sequence[Round], plain: Sequence[Round]) -> Row:
    latencies = [latency * 1e3 for one in mine for latency in one.latencies_s]
    batches = [one.batch for one in mine if one.batch is not None]
    return Row(
        side=side,
        text=text,
        clients=clients,
        rate=median(one.rate for one in mine),
        ratio=median(one.rate / other.rate for one, other in zip(mine, plain, strict=True)),
        p50_ms=percentile(latencies, 0.5),
        p99_ms=percentile(latencies, 0.99),
        batch=median(batches) if batches else None,
    )


async def rank(sides: Sequence[Served], rounds: int) -> dict[str, float]:
    """Milliseconds in which one call ranks the documents, the median."""
    words = TEXTS["short"].split()
    documents = [" ".join(words[number % 7 :]) + f" Pier {number}." for number in range(DOCUMENTS)]
    body = {"query": "Where may a ship lie?", "documents": documents, "return_documents": False}
    took: dict[str, list[float]] = {served.name: [] for served in sides}
    for _ in range(max(3, rounds)):
        for served in sides:
            began = time.perf_counter()
            await served.post("/rerank", body)
            took[served.name].append((time.perf_counter() - began) * 1e3)
    return {name: median(times) for name, times in took.items()}


async def measure(rounds: int, seconds: float) -> tuple[list[Row], dict[str, float]]:
    model = await ModelStore(default_cache_dir()).fetch(DEFAULT_EMBEDDING.source, DEFAULT_EMBEDDING.sha256)
    int8 = DEFAULT_EMBEDDING.model_copy(update={"options": EngineOptions(quantization="int8")})
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="mb-") as name:
        folder = Path(name)
        weights = write(model, folder / "model.gguf")
        graph = openvino_ir.write(model, folder / "ir", half=True)
        async with AsyncExitStack() as stack:
            sides = [
                await stack.enter_async_context(served)
                for served in (
                    Served("onnx", Onnx(), DEFAULT_EMBEDDING, model, folder),
                    Served("onnx int8", Onnx(), int8, model, folder),
                    Served("openvino", OpenVino(), DEFAULT_EMBEDDING, graph, folder),
                    Served("llama.cpp", LlamaCpp(), DEFAULT_EMBEDDING, weights, folder),
                )
            ]
            (content,) = sides[0].launch.files.values()
            alone = Model(runtime.decode(EncoderSettings, content), opened)
            for text in TEXTS:
                for clients in CLIENTS:
                    rows += await compare(sides, alone, text, clients, rounds, seconds)
            return rows, await rank(sides, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=2.0, help="of one side in one round")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    machine.end_orderly()
    about = machine.facts()
    rows, ranked = asyncio.run(measure(options.rounds, options.seconds))
    head = ("side", "text", "clients", "texts/s", "× onnx", "p50 ms", "p99 ms", "texts a step")
    print_table([head, *(_cells(row) for row in rows)])
    print(f"\n{DOCUMENTS} documents ranked by cosine in one call:")
    print_table([("side", "ms"), *((name, f"{took:.0f}") for name, took in ranked.items())])
    if warning := machine.busy(about):
        print(warning, file=sys.stderr)
    if options.json:
        report = {
            "machine": about,
            "versions": machine.versions(*PACKAGES),
            "embeddings": [asdict(row) for row in rows],
            "rerank_ms": ranked,
        }
        options.json.write_text(json.dumps(report, indent=1) + "\n")


def _cells(row: Row) -> tuple[str, ...]:
    numbers = (row.p50_ms, row.p99_ms, row.batch)
    shown = ("" if number is None else f"{number:.1f}" for number in numbers)
    return row.side, row.text, str(row.clients), f"{row.rate:.0f}", f"{row.ratio:.2f}", *shown


if __name__ == "__main__":
    main()
