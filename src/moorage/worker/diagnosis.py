"""Why a start failed or an engine ended: what it wrote last, matched with what is known, and whether to try again."""

import time
from dataclasses import dataclass, field

import structlog

from moorage.config.model import ModelSpec
from moorage.core.devices import TAKEN
from moorage.core.ports import Diagnosis, Engine
from moorage.core.remedies import Decision, decide, reference, summary, with_remedies
from moorage.core.replica import fingerprint
from moorage.engines.options import given
from moorage.engines.shared_signatures import OOM_KILLED
from moorage.engines.shared_signatures import SIGNATURES as SHARED
from moorage.engines.signatures import diagnose
from moorage.errors import DeadlineExceeded, MoorageError, Unavailable, UpstreamError
from moorage.models.attempts import UNREACHABLE
from moorage.wire.control import ReplicaOrder
from moorage.worker.launching import Berth, Running
from moorage.worker.logs import last_start
from moorage.worker.outofmemory import kills
from moorage.worker.record import Record
from moorage.worker.remedies import Failed

REASON_LINES = 10
REASON_LINE_CHARS = 300
KILLED = "killed by SIGKILL"

log: structlog.stdlib.BoundLogger = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What became of a start or an engine."""

    text: str
    """A reason a user can act on: what happened, the plain cause and fix with its public report, the engine's last
    lines."""
    diagnosis: Diagnosis | None = None
    decision: Decision = field(default_factory=Decision)


def explain(berth: Berth, replica: str, what: str, running: Running | None) -> Explanation:
    """Blocks. `what` says what was seen from outside."""
    if running is None:
        return Explanation(text=what)
    path = berth.log(replica)
    said = last_start(path)
    lines = last_lines(said)
    diagnosis = recognise(running.engine, said, f"{what}\n{_kernel(what, running)}")
    decision = _decide(running, diagnosis)
    tail = [f"last lines of {path}:", *(f"  {line}" for line in lines)] if lines else [f"{path} has nothing from it"]
    return Explanation(
        text="\n".join([_sentence(what, diagnosis, decision), *_tried(running), *tail]),
        diagnosis=diagnosis,
        decision=decision,
    )


def recognise(engine: Engine, said: str, seen: str = "") -> Diagnosis | None:
    """By the engine's own signatures, then by those of all engines; `seen` is what its keeper saw of its end."""
    try:
        found = engine.diagnose(said)
    except Exception:
        # An adapter's fault in reading a log must not hide the engine's own.
        log.exception("the adapter cannot read its engine's log", engine=engine.name)
        found = None
    return found or diagnose(f"{said}\n{seen}", SHARED)


def _sentence(what: str, diagnosis: Diagnosis | None, decision: Decision) -> str:
    if diagnosis is None:
        return what
    known = reference(diagnosis.signature, diagnosis.source)
    why_not = f". {decision.why_not}" if decision.why_not else ""
    return f"{what}: {diagnosis.cause}. {diagnosis.fix}{known}{why_not}"


def _tried(running: Running) -> list[str]:
    remedies = running.record.remedies
    return [f"it had been started with {summary(remedies)}"] if remedies else []


def _decide(running: Running, diagnosis: Diagnosis | None) -> Decision:
    record = running.record
    spec = ModelSpec.model_validate(record.order.model)
    return decide(
        diagnosis,
        with_remedies(spec.options, record.remedies),
        promised=promised(spec),
        used={"max_model_len": record.launch.max_model_len, "max_sequences": record.launch.capacity},
        tried=record.remedies,
    )


def promised(spec: ModelSpec) -> frozenset[str]:
    """The options that the user wrote, entries of maps too."""
    options = spec.options
    entries = [f"{name}.{entry}" for name in ("extra_args", "env") for entry in getattr(options, name)]
    return frozenset([*given(options), *entries])


def _kernel(what: str, running: Running) -> str:
    """Whether it was the kernel that killed it, as its counters say."""
    before, now = running.kills, kills()
    return OOM_KILLED if KILLED in what and before is not None and now is not None and now > before else ""


def last_lines(said: str, most: int = REASON_LINES) -> list[str]:
    return [line.rstrip()[:REASON_LINE_CHARS] for line in said.splitlines() if line.strip()][-most:]


def failure(order: ReplicaOrder, record: Record | None, seen: Explanation, reason: str) -> Failed:
    """What is remembered of a start that failed; `record` is of the latest engine."""
    diagnosis = seen.diagnosis
    return Failed(
        model=str(order.model.get("name", "")),
        fingerprint=fingerprint(order.model),
        generation=record.generation if record else 0,
        reason=reason,
        at=time.time(),
        engine=record.engine if record else "",
        cause=diagnosis.cause if diagnosis else "",
        fix=diagnosis.fix if diagnosis else "",
        signature=diagnosis.signature if diagnosis else "",
        source=diagnosis.source if diagnosis else "",
    )


def failed_start(error: MoorageError | OSError) -> str:
    return f"start failed: {error.message if isinstance(error, MoorageError) else error}"


def heals_by_itself(error: MoorageError | OSError) -> bool:
    """A network, a disk or a device that others hold may come right without anyone telling us."""
    if isinstance(error, OSError):
        return True
    away = isinstance(error, (UpstreamError, DeadlineExceeded, Unavailable))
    return away or error.error_code in (UNREACHABLE, TAKEN)
