"""Which engine would run a model, with what, and whether there is room for it now."""

from collections.abc import Iterator, Sequence

import psutil

from moorage.config.model import ModelSpec
from moorage.core.facts import ModelFacts
from moorage.core.memory import MEMORY_SHARE, MemoryEstimate
from moorage.core.ports import Engine, Support
from moorage.core.text import human
from moorage.engines.choose import choose, offered
from moorage.engines.registry import registered
from moorage.engines.versions import version_of
from moorage.errors import MoorageError
from moorage.serve.doctor.findings import Finding
from moorage.serve.sizing import Sized, size
from moorage.wire.control import Machine

PARTS = {
    "weights_bytes": "weights",
    "kv_bytes": "KV cache",
    "compute_bytes": "buffers",
    "process_bytes": "process",
    "cache_bytes": "kept prompts",
}
"""Of an estimate, those that are told where they are not nothing."""


def examine(spec: ModelSpec, facts: ModelFacts, here: Machine, *, runs: bool) -> Iterator[Finding]:
    """`runs` says whether the model is served already, so that the memory it takes is not free."""
    try:
        choice = choose(spec, facts, here)
    except MoorageError as error:
        yield impossible("engine.choice", error.message)
        yield from others(facts, here, chosen="")
        return
    engine = choice.engine
    support = engine.supports(facts, offered(here, spec))
    yield chosen(engine, support, version_of(engine.name, offered(here, spec)), named=spec.engine != "auto")
    yield proven(engine, version_of(engine.name, here))
    yield from others(facts, here, chosen=engine.name, why=choice.why)
    sized = size(spec, facts, here)
    if sized.problem:
        yield impossible("plan.option", sized.problem)
        return
    assert sized.launch is not None
    yield from options(sized.launch.why)
    yield from room(sized, here, psutil.virtual_memory().available, runs=runs)


def chosen(engine: Engine, support: Support, version: str, *, named: bool) -> Finding:
    return Finding(
        id="engine.choice",
        level="ok",
        what=f"{engine.name} {version}".strip(),
        detail=f"{support.why}{'; named by the configuration' if named else ''}",
        facts={"engine": engine.name, "version": version},
    )


def proven(engine: Engine, version: str) -> Finding:
    facts = {"proven": engine.proven, "version": version}
    if not engine.proven:
        return Finding(
            id="engine.proven",
            level="warning",
            what="unproven",
            detail="its adapter was written from the engine's source and has never been seen running in our tests",
            facts=facts,
        )
    return Finding(id="engine.proven", level="ok", what="proven", detail=f"seen running: {engine.proven}", facts=facts)


def others(facts: ModelFacts, here: Machine, chosen: str, why: Sequence[str] = ()) -> Iterator[Finding]:
    """Each engine that is not taken, with its own reason; `why` is what was said when one was chosen among them."""
    said = {what: reason for what, _, reason in (line.partition(": ") for line in why)}
    for engine in registered():
        if engine.name == chosen:
            continue
        support = engine.supports(facts, here)
        detail = said.get(f"not {engine.name}", support.why)
        able = support.ok and detail.endswith(support.why)
        yield Finding(
            id="engine.other",
            level="note",
            what=f"{'could be' if able else 'not'} {engine.name}",
            detail=detail,
            subject=engine.name,
            facts={"engine": engine.name, "ok": able},
        )


def options(why: Sequence[str]) -> Iterator[Finding]:
    """`8192 tokens a call: what the model was trained for`, one line each."""
    for number, line in enumerate(why, start=1):
        what, _, reason = line.partition(": ")
        yield Finding(id="plan.option", level="ok", what=what, detail=reason, subject=str(number))


def room(sized: Sized, here: Machine, available: int, *, runs: bool) -> Iterator[Finding]:
    """`available` bytes are free on this machine at this moment."""
    memory = sized.memory
    if memory is None:
        detail = "the files do not say enough"
        yield Finding(id="room.free", level="note", what="memory is not known beforehand", detail=detail)
        return
    yield from parts(memory)
    yield free(sized, here, available, runs=runs)


def parts(memory: MemoryEstimate) -> Iterator[Finding]:
    place = f"of each of {memory.devices} devices" if memory.devices else ""
    for name, label in PARTS.items():
        part = getattr(memory, name)
        if part:
            told = {"bytes": part}
            yield Finding(id="room.part", level="ok", what=label, detail=human(part), subject=name, facts=told)
    what = f"together {place}".strip()
    facts = {"bytes": memory.total_bytes, "devices": memory.devices}
    yield Finding(id="room.part", level="ok", what=what, detail=human(memory.total_bytes), subject="all", facts=facts)


def free(sized: Sized, here: Machine, available: int, *, runs: bool) -> Finding:
    """Of the machine's own memory. What engines may have of their devices was granted before, or refused."""
    need, most = sized.processor_bytes, int(here.memory_bytes * MEMORY_SHARE)
    now = min(available, here.memory_bytes)
    facts = {"need_bytes": need, "available_bytes": now, "usable_bytes": most}
    times = f" for {sized.spec.replicas} replicas" if sized.spec.replicas > 1 else ""
    what = f"{human(now)} are free now"
    detail = f"{human(need)} are needed{times}, {human(most)} of this machine may be used"
    if need > most:
        fix = "moorage plan    (what it takes, and what would make it fit)"
        return Finding(id="room.free", level="problem", what=what, detail=detail, fix=fix, facts=facts)
    if need > now and runs:
        return Finding(id="room.free", level="ok", what=what, detail="it runs already and has its own", facts=facts)
    if need > now:
        fix = "stop what else uses memory (ps aux --sort -rss | head), or lower options.max_model_len"
        return Finding(id="room.free", level="warning", what=what, detail=detail, fix=fix, facts=facts)
    return Finding(id="room.free", level="ok", what=what, detail=detail, facts=facts)


def impossible(id: str, message: str) -> Finding:
    return Finding(
        id=id,
        level="problem",
        what="cannot start",
        detail=message,
        fix="change the model's section of the configuration",
    )
