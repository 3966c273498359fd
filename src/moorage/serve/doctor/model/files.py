"""A model's files: where they are, whether they are whole, what they say."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moorage.config.model import ModelSpec
from moorage.core.facts import ModelFacts
from moorage.core.text import human
from moorage.errors import MoorageError
from moorage.models.manifest import is_as_recorded, read
from moorage.models.store import Entry
from moorage.serve.doctor.findings import Finding


@dataclass
class Files:
    """What is found as it is looked for; `facts` stay None where the files are not here or will not do."""

    facts: ModelFacts | None = None


def examine(spec: ModelSpec, cache_dir: Path, environ: Mapping[str, str], found: Files) -> Iterator[Finding]:
    from moorage.models.files import facts as facts_of
    from moorage.serve.whereabouts import NotHere, located, stored

    entries = stored(cache_dir)
    try:
        path = located(spec.source, entries, environ)
        if isinstance(path, NotHere):
            yield not_here(path.source, path.how, spec.sha256)
            return
        if path.exists():
            told = {"path": str(path)}
            yield Finding(id="files.place", level="ok", what=path.name, detail=str(path.parent), facts=told)
        found.facts = facts_of(path)
    except (MoorageError, OSError) as error:
        yield broken(error)
        return
    yield whole(found.facts)
    entry = next((entry for entry in entries.values() if entry.path == path), None)
    if entry is not None:
        yield from as_fetched(entry)


def not_here(source: str, how: str, sha256: str | None) -> Finding:
    pin = f" --sha256 {sha256}" if sha256 else ""
    return Finding(
        id="files.place",
        level="note",
        what="not here yet",
        detail=f"{how}; the first start does it, and nothing more can be told before",
        fix=f"moorage models pull '{source}'{pin}",
        facts={"source": source},
    )


def broken(error: MoorageError | OSError) -> Finding:
    message = error.message if isinstance(error, MoorageError) else str(error)
    return Finding(
        id="files.whole",
        level="problem",
        what="cannot be used",
        detail=message,
        fix="correct the model's source, or get its files again: moorage models verify, then moorage models pull",
    )


def whole(facts: ModelFacts) -> Finding:
    parts = [facts.task, facts.architecture, human(facts.size_bytes), facts.quantization]
    if facts.context_length:
        parts.append(f"trained for {facts.context_length} tokens")
    told: dict[str, Any] = {
        "format": facts.format,
        "task": facts.task,
        "architecture": facts.architecture,
        "size_bytes": facts.size_bytes,
        "quantization": facts.quantization,
        "context_length": facts.context_length,
    }
    detail = ", ".join(part for part in parts if part)
    return Finding(id="files.whole", level="ok", what=f"{facts.format}, whole", detail=detail, facts=told)


def as_fetched(entry: Entry) -> Iterator[Finding]:
    """Whether a model of the store is still what was fetched, by sizes and times; its content is `models verify`'s."""
    folder = entry.path.parent
    known = read(folder)
    if known is None:
        return
    other = [file.path for file in known.stored() if not is_as_recorded(folder / file.path, file)]
    if other:
        yield Finding(
            id="files.whole",
            level="warning",
            what="changed since it was fetched",
            detail=", ".join(other[:5]),
            fix=f"moorage models verify {entry.name}",
            subject="store",
            facts={"files": other},
        )
