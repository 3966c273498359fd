"""What the adapters of embedded engines share: how our own hosts are launched, probed, read and diagnosed."""

import json
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from moorage.config.model import ModelSpec
from moorage.core.memory import MEMORY_SHARE, MemoryEstimate
from moorage.core.ports import Launch, Probe, Support
from moorage.core.text import human
from moorage.engines.libraries import LIBRARIES
from moorage.engines.signatures import Signature
from moorage.errors import EngineError
from moorage.wire import runtime
from moorage.wire.control import Load, Machine
from moorage.wire.names import Task
from moorage.wire.runtime import RuntimeSettings

RANK = 10
"""Below engines made for the accelerator a machine has."""
ENVIRONMENT = {"PYTHONUNBUFFERED": "1"}
ENVIRONMENT_OF_ARRAYS = {
    "ORT_DISABLE_TELEMETRY": "1",
    # What is computed in Python is small; the threads are the engine's.
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
"""For hosts that load numpy, tokenizers and ONNX Runtime."""
PROBES: Mapping[Task, tuple[str, Mapping[str, object]]] = {
    "generate": ("/v1/completions", {"prompt": "ready", "max_tokens": 1}),
    "embed": ("/v1/embeddings", {"input": "ready"}),
    "rerank": ("/rerank", {"query": "ready", "documents": ["ready"]}),
    "classify": ("/pooling", {"input": "ready"}),
}

STEPS = "moorage_runtime_steps_total"
CALLS_FINISHED = "moorage_runtime_calls_finished_total"

AGAIN = "Remove it and fetch it again: moorage models verify, then moorage models pull"
"""What mends a damaged file of a model."""

S = TypeVar("S", bound=RuntimeSettings)


def absent(engine: str) -> Support:
    return Support(ok=False, why=f"it is not installed: {LIBRARIES[engine].install}", absent=True)


def no_room(least_bytes: int, machine: Machine) -> Support | None:
    """The refusal of a model that needs more memory than a machine has for it; None where there is room."""
    most = machine.memory_bytes * MEMORY_SHARE
    if least_bytes <= most:
        return None
    why = f"it needs at least {human(least_bytes)} of memory for this model, and may use {human(most)} of this machine"
    return Support(ok=False, why=why)


def with_extra_args(settings: S, spec: ModelSpec, known: Collection[str], engine: str) -> S:
    """The settings with options.extra_args, of which the engine knows some. Raises EngineError."""
    given: dict[str, Any] = dict(single_values(spec))
    for name in given:
        if name not in known:
            raise EngineError(
                f"model {spec.name!r}: options.extra_args.{name} is unknown to {engine}; it has {', '.join(known)}"
            )
    try:
        return msgspec.convert({**msgspec.structs.asdict(settings), **given}, type(settings))
    except msgspec.ValidationError as error:
        raise EngineError(f"model {spec.name!r}: options.extra_args: {error}") from error


def single_values(spec: ModelSpec) -> dict[str, str | int | float | bool]:
    """options.extra_args of an engine whose settings are single values. Raises EngineError for a list."""
    for name, value in spec.options.extra_args.items():
        if isinstance(value, list):
            raise EngineError(f"model {spec.name!r}: options.extra_args.{name} is a list; write one value")
    return {name: value for name, value in spec.options.extra_args.items() if not isinstance(value, list)}


def launch(
    host: str,
    settings: RuntimeSettings,
    *,
    capacity: int,
    max_model_len: int | None,
    why: tuple[str, ...],
    env: Mapping[str, str],
    memory: MemoryEstimate | None = None,
) -> Launch:
    """The start of `moorage.runtimes.HOST`, which reads its settings from a file beside its socket."""
    path = f"{Path(settings.socket).parent}/{host}.json"
    return Launch(
        argv=(sys.executable, "-m", f"moorage.runtimes.{host}", path),
        address=f"unix:{settings.socket}",
        token=settings.token,
        served_name=settings.served_name,
        capacity=capacity,
        max_model_len=max_model_len,
        task=settings.task,
        env={**ENVIRONMENT, **env},
        files={path: runtime.encode(settings)},
        memory=memory,
        why=why,
    )


def probe(launched: Launch) -> Probe:
    """The least that a model of texts can be asked."""
    path, fields = PROBES[launched.task]
    return Probe("POST", path, json.dumps({"model": launched.served_name, **fields}).encode())


def load(metrics: Mapping[str, float], *progress: str) -> Load:
    """What a host of ours tells; its progress is the sum of the counters named."""
    counted = [metrics[name] for name in progress if name in metrics]
    return Load(
        running=metrics.get("moorage_runtime_running"),
        queued=metrics.get("moorage_runtime_queued"),
        progress=sum(counted) if counted else None,
    )


def socket_taken(engine: str, otherwise: str = "(?!)") -> Signature:
    """Another process has our host's socket; `otherwise` is how the engine itself says so."""
    return Signature(
        name=f"{engine}.socket-taken",
        pattern=rf"another process listens on (\S+): |{otherwise}",
        cause="the engine's socket is taken by another process",
        fix="Stop the other process",
    )


def last_words(engine: str, fix: str) -> Signature:
    """What a host of ours said of its end, where nothing more is known."""
    return Signature(
        name=f"{engine}.last-words",
        pattern=r"moorage: (?!loading |loaded |stopped|listening)([^\n]+)",
        cause="{0}",
        fix=fix,
    )


def niceness_why(niceness: int) -> str:
    return (
        f"niceness {niceness}: it makes way for the streams of other engines on this machine "
        "(options.extra_args.niceness, 0 to 19)"
    )
