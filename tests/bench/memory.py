"""What a model was said to take against what it takes: each part apart, engine by engine.

    python -m tests.bench.memory [--engine NAME …] [--second FILE …] [--vllm PROGRAM --folder FOLDER …] [--json FILE]

Each row is one start with other settings. The parts an engine tells of in its log are held against the estimate of its
start (Launch.memory); the total against its resident memory after calls in all its slots, of several processes with
what they share counted once. Weights that an engine repacks as it starts are resident twice, once as pages of the file
that the kernel takes back when they are wanted: those are left out.
"""

import argparse
import asyncio
import json
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from moorage.config.defaults import DEFAULT_EMBEDDING, DEFAULT_MODEL
from moorage.config.model import ModelSpec
from moorage.config.places import default_cache_dir
from moorage.core.memory import MIB, MemoryEstimate
from moorage.engines.registry import load
from moorage.models.store import ModelStore
from moorage.wire.control import Installation
from tests.bench import machine
from tests.bench.report import print_table
from tests.bench.served import Served

PARTS = ("weights", "kv", "compute", "total")
PROMPT_WORDS = 100
MARGIN_TOKENS = 40
CALLS = 16
START_S = 300.0
"""vLLM on a busy machine."""


@dataclass(frozen=True)
class Setting:
    """One start. `kv` is in options.kv_cache_dtype's words."""

    context: int
    sequences: int
    kv: str = "auto"
    batch_tokens: int | None = None

    def options(self) -> dict[str, Any]:
        # One thread waits for no other: threads are not what is measured, and the machine may be busy.
        given = {
            "max_model_len": self.context,
            "max_sequences": self.sequences,
            "kv_cache_dtype": self.kv,
            "threads": 1,
        }
        return given | ({"batch_tokens": self.batch_tokens} if self.batch_tokens else {})


SETTINGS: Mapping[str, Sequence[Setting]] = {
    "llama.cpp": (
        Setting(512, 1),
        Setting(2048, 4),
        Setting(8192, 1),
        Setting(8192, 4),
        Setting(4096, 2, "q8_0"),
        Setting(8192, 4, "q8_0"),
        Setting(4096, 4, "q4_0"),
        Setting(2048, 2, "f32"),
        Setting(2048, 2, "auto", 1024),
    ),
    "openvino": (
        Setting(512, 1),
        Setting(2048, 4),
        Setting(1024, 16),
        Setting(4096, 2),
        Setting(2048, 4, "f16"),
        Setting(1024, 4, "f32"),
        Setting(2048, 2, "auto", 1024),
    ),
    "vllm": (Setting(1024, 4), Setting(2048, 16), Setting(8192, 4)),
    "onnx": (Setting(256, 64), Setting(128, 64), Setting(256, 64, "auto", 512)),
}
FILLS = frozenset({"openvino", "onnx"})
"""Engines whose memory grows with what they are given: they get texts of full length."""
SOONER: Mapping[str, dict[str, Any]] = {
    "llama.cpp": {"extra_args": {"verbosity": 4}},
    "vllm": {"cuda_graphs": False},
}
"""What makes an engine tell of its buffers, or start sooner."""


@dataclass(frozen=True)
class Row:
    """Bytes by part. What an engine does not tell is not there."""

    engine: str
    model: str
    setting: Setting
    estimated: Mapping[str, int]
    real: Mapping[str, int]

    def off(self, part: str) -> float | None:
        """Of the estimate from what is real, in percent."""
        real = self.real.get(part)
        return (self.estimated[part] - real) / real * 100 if real else None


def parts(memory: MemoryEstimate) -> dict[str, int]:
    """As engines tell them. Prompts that are kept are not among them: there were none."""
    return {
        "weights": memory.weights_bytes,
        "kv": memory.kv_bytes,
        "compute": memory.compute_bytes,
        "total": memory.total_bytes - memory.cache_bytes,
    }


def told(engine: str, log: str) -> dict[str, int]:
    """Bytes by part in the engine's own words; `again` are pages of a file whose numbers were repacked."""
    if engine == "llama.cpp":
        return {
            "weights": _mib(r"CPU_Mapped model buffer size = +([\d.]+) MiB", log),
            "kv": _mib(r"KV buffer size = +([\d.]+) MiB", log),
            "compute": _mib(r"(?:compute|output) buffer size = +([\d.]+) MiB", log),
            "again": _mib(r"CPU_REPACK model buffer size = +([\d.]+) MiB", log),
        }
    if engine == "vllm":
        pool = _mib(r"Explicitly set \(([\d.]+)/", log) * 1024
        return {"kv": pool} if pool else {}
    return {}


def _mib(pattern: str, log: str) -> int:
    return round(sum(float(size) for size in re.findall(pattern, log)) * MIB)


class Bench:
    """Starts one engine after the other, never two."""

    def __init__(self, folder: Path, installations: tuple[Installation, ...]) -> None:
        self._folder = folder
        self._installations = installations
        self._number = 0

    async def measure(self, engine: str, model: Path, setting: Setting) -> Row:
        self._number += 1
        options = setting.options() | SOONER.get(engine, {})
        name = f"m{self._number}"
        spec = ModelSpec.model_validate({"name": name, "source": str(model), "options": options})
        served = Served(
            name, load(engine), spec, model, self._folder, installations=self._installations, start_s=START_S
        )
        memory = served.launch.memory
        if memory is None:
            raise SystemExit(f"{engine} tells no estimate (Launch.memory)")
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(served)
            words = setting.context - MARGIN_TOKENS if engine in FILLS else min(PROMPT_WORDS, setting.context // 4)
            await asyncio.gather(*(_call(served, number, words) for number in range(min(CALLS, setting.sequences))))
            alone, together = machine.memory(served.pid), machine.memory_of_all(served.pid)
        real = told(engine, served.log)
        whole = alone.rss_bytes if alone.rss_bytes == together.rss_bytes else together.pss_bytes
        real["total"] = whole - real.pop("again", 0)
        return Row(engine, model.stem, setting, parts(memory), real)


async def _call(served: Served, number: int, words: int) -> None:
    """A text that no other begins like, a reply of a few tokens."""
    text = f"{number} " + " ".join(["harbour"] * words)
    name = served.launch.served_name
    if served.launch.task == "generate":
        await served.post("/v1/completions", {"model": name, "prompt": text, "max_tokens": 8})
    else:
        await served.post("/v1/embeddings", {"model": name, "input": [text] * 8})


def show(rows: Sequence[Row]) -> None:
    head = ["engine", "model", "context", "calls", "kv", *(word for part in PARTS for word in (part, "real", "off"))]
    print_table([head, *(_cells(row) for row in rows)])
    for part in PARTS:
        off = [abs(found) for row in rows if (found := row.off(part)) is not None]
        if off:
            mean = sum(off) / len(off)
            print(f"{part}: off by {mean:.1f} % on average, {max(off):.1f} % at most, over {len(off)} starts")


def _cells(row: Row) -> list[str]:
    found = [row.engine, row.model[:16], str(row.setting.context), str(row.setting.sequences), row.setting.kv]
    for part in PARTS:
        real, off = row.real.get(part), row.off(part)
        found += [
            f"{row.estimated[part] / MIB:.0f}",
            f"{real / MIB:.0f}" if real else "",
            f"{off:+.0f}%" if off is not None else "",
        ]
    return found


async def run(arguments: argparse.Namespace) -> list[Row]:
    store = ModelStore(default_cache_dir())
    chat = await store.fetch(DEFAULT_MODEL.source, DEFAULT_MODEL.sha256)
    texts = await store.fetch(DEFAULT_EMBEDDING.source, DEFAULT_EMBEDDING.sha256)
    models: dict[str, list[Path]] = {
        "llama.cpp": [chat, *arguments.second],
        "openvino": [chat],
        "vllm": arguments.folder,
        "onnx": [texts],
    }
    installations: tuple[Installation, ...] = ()
    if arguments.vllm:
        command = (arguments.vllm, "serve")
        installations = (
            Installation(engine="vllm", version=arguments.version, command=command, env=dict(arguments.env)),
        )
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="mo-") as temporary:
        bench = Bench(Path(temporary), installations)
        for engine in arguments.engine:
            for model in models[engine]:
                for setting in SETTINGS[engine]:
                    rows.append(await bench.measure(engine, model, setting))
                    print(".", end="", flush=True, file=sys.stderr)
    print(file=sys.stderr)
    return rows


def main() -> None:
    machine.end_orderly()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--engine", action="append", choices=list(SETTINGS), help="llama.cpp and onnx where none is named")
    add("--second", action="append", type=Path, default=[], help="another GGUF file for llama.cpp, of another family")
    add("--vllm", help="the program vllm")
    add("--version", default="0.32.0+cpu", help="of that program")
    add("--env", action="append", type=lambda text: text.partition("=")[::2], default=[], help="NAME=VALUE for it")
    add("--folder", action="append", type=Path, default=[], help="a model for vllm")
    add("--json", type=Path, dest="file", help="write the rows there as well")
    arguments = parser.parse_args()
    arguments.engine = arguments.engine or ["llama.cpp", "onnx"]
    rows = asyncio.run(run(arguments))
    show(rows)
    if arguments.file is not None:
        found = {"machine": machine.facts(), "rows": [asdict(row) for row in rows]}
        arguments.file.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
