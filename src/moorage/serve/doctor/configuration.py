"""The configuration: is it valid, are its models' files here, can an engine run them, do all fit into memory."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil

from moorage.core.memory import usable_bytes
from moorage.core.text import human
from moorage.environments.bounded import together
from moorage.errors import MoorageError
from moorage.serve.doctor.findings import Finding, Scope

if TYPE_CHECKING:
    from moorage.config.load import Loaded
    from moorage.config.model import ModelSpec
    from moorage.models.store import Entry
    from moorage.serve.whereabouts import NotHere
    from moorage.wire.control import Machine


def examine(scope: Scope) -> Iterator[Finding]:
    from moorage.config.tree import access_problem

    try:
        loaded = scope.configuration.result()
    except (MoorageError, OSError) as error:
        yield from refused(str(error))
        return
    count = len(loaded.config.models.local)
    yield Finding(
        id="configuration.file",
        level="ok",
        what=str(loaded.path or "no configuration file"),
        detail=f"{'valid' if loaded.path else 'built-in values'}, {count} model{'' if count == 1 else 's'}",
        facts={"path": str(loaded.path) if loaded.path else None, "models": count},
    )
    for number, warning in enumerate(loaded.warnings, start=1):
        yield Finding(id="configuration.warning", level="warning", what=warning, subject=str(number))
    if problem := access_problem(loaded.config):
        yield Finding(
            id="configuration.access",
            level="problem",
            what="open to strangers",
            detail=problem,
            fix="export MOORAGE_API_KEY=$(openssl rand -hex 24)",
        )
    yield from _models(loaded, scope)


def refused(message: str) -> Iterator[Finding]:
    """A finding a problem of the configuration: the loader tells all at once, a line each."""
    lines = message.splitlines()
    listed = [line.strip() for line in lines[1:]] if len(lines) > 1 and lines[0].endswith(":") else [message]
    for number, line in enumerate(listed, start=1):
        yield Finding(
            id="configuration.file",
            level="problem",
            what="not valid",
            detail=line,
            fix="correct it, then: moorage config check" if number == len(listed) else "",
            subject=str(number) if len(listed) > 1 else "",
        )


@dataclass(frozen=True)
class Seen:
    """A model as far as it shows without loading it."""

    finding: Finding
    need_bytes: int | None = None
    """What all its replicas take of the machine's memory, where its files are here."""


def _models(loaded: "Loaded", scope: Scope) -> Iterator[Finding]:
    from moorage.serve.equipment import equipped
    from moorage.serve.whereabouts import stored

    assert loaded.config.cache_dir is not None
    specs = loaded.config.models.local
    if not specs:
        return
    here = equipped(loaded.config.cache_dir, scope.environ, limit_s=scope.patience_s / 2, remember=False)
    entries = stored(loaded.config.cache_dir)
    jobs = [partial(look, spec, entries, here, scope.environ) for spec in specs]
    needs: list[int] = []
    for spec, seen in zip(specs, together(jobs, scope.patience_s), strict=True):
        if seen is None:
            detail = "its files gave no answer in time; a network drive that is away?"
            yield Finding(id="configuration.model", level="warning", what=spec.name, detail=detail, subject=spec.name)
            continue
        yield seen.finding
        if seen.need_bytes is not None:
            needs.append(seen.need_bytes)
    if needs:
        yield together_in_memory(sum(needs), here.memory_bytes, psutil.virtual_memory().available)


def look(spec: "ModelSpec", entries: "Mapping[str, Entry]", here: "Machine", environ: Mapping[str, str]) -> Seen:
    """Files, engine and options of one model, as a worker would find them."""
    from moorage.models.files import facts as facts_of
    from moorage.serve.sizing import size
    from moorage.serve.whereabouts import NotHere, located

    if spec.url is not None:
        detail = f"answered for by {spec.url}, which nobody asks before the start"
        return Seen(
            Finding(
                id="configuration.model",
                level="ok",
                what=spec.name,
                detail=detail,
                subject=spec.name,
                facts={"url": spec.url},
            )
        )
    try:
        path = located(spec.source, entries, environ)
        if isinstance(path, NotHere):
            return _not_here(spec, path)
        facts = facts_of(path)
    except (MoorageError, OSError) as error:
        return Seen(_impossible(spec, error.message if isinstance(error, MoorageError) else str(error)))
    sized = size(spec, facts, here)
    if sized.problem:
        return Seen(_impossible(spec, sized.problem))
    need = sized.whole_bytes if sized.memory is not None else None
    told: dict[str, Any] = {
        "path": str(path),
        "task": facts.task,
        "engine": sized.engine,
        "size_bytes": facts.size_bytes,
        "memory_bytes": need,
    }
    times = f" for {spec.replicas} replicas" if spec.replicas > 1 else ""
    about = f", about {human(need)} of memory{times}" if need is not None else ""
    detail = f"{facts.task} on {sized.engine}{about}"
    return Seen(
        Finding(id="configuration.model", level="ok", what=spec.name, detail=detail, subject=spec.name, facts=told),
        sized.processor_bytes if need is not None else None,
    )


def _not_here(spec: "ModelSpec", missing: "NotHere") -> Seen:
    pin = f" --sha256 {spec.sha256}" if spec.sha256 else ""
    return Seen(
        Finding(
            id="configuration.model",
            level="note",
            what=spec.name,
            detail=f"{missing.how}; the first start does it",
            fix=f"moorage models pull '{missing.source}'{pin}",
            subject=spec.name,
            facts={"source": missing.source},
        )
    )


def _impossible(spec: "ModelSpec", message: str) -> Finding:
    return Finding(
        id="configuration.model",
        level="problem",
        what=spec.name,
        detail=message,
        fix=f"change or remove the model {spec.name} in the configuration",
        subject=spec.name,
    )


def together_in_memory(need: int, usable: int, available: int) -> Finding:
    """In bytes: what the models take together, what they may take, what is free at this moment."""
    facts = {"need_bytes": need, "usable_bytes": usable, "available_bytes": available}
    what = f"all models: {human(need)}"
    if need > usable_bytes(usable):
        return Finding(
            id="configuration.memory",
            level="problem",
            what=what,
            detail=f"this machine has {human(usable)}",
            fix="moorage plan    (what each takes, and what would make them fit)",
            facts=facts,
        )
    if need > available:
        return Finding(
            id="configuration.memory",
            level="warning",
            what=what,
            detail=f"{human(available)} are free now; a Moorage that runs already may hold the rest",
            fix="ps aux --sort -rss | head",
            facts=facts,
        )
    return Finding(id="configuration.memory", level="ok", what=what, detail=f"{human(available)} are free", facts=facts)
