"""What a server of this machine remembers of a model: why its last start failed, what a start had to be changed to."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from moorage.config.model import ModelSpec
from moorage.core.remedies import Remedy, reference, summary
from moorage.core.replica import fingerprint
from moorage.core.text import age
from moorage.serve.doctor.findings import Finding
from moorage.serve.state import State
from moorage.worker.diagnosis import last_lines
from moorage.worker.logs import last_start, log_path
from moorage.worker.remedies import FILE_NAME, Failed, Memory, read_memory


def states(state_dir: Path, port: int) -> list[State]:
    """Of the server on that port; of all that ever ran where the port is any, the latest first."""
    if port:
        return [State(state_dir, str(port))]
    try:
        found = sorted(state_dir.glob("serve-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    except OSError:
        return []
    return [State(state_dir, path.name.removeprefix("serve-")) for path in found]


def remembered(spec: ModelSpec, known: Sequence[State]) -> tuple[Remedy, ...]:
    """With what the next start of these settings would begin, as far as it can be told before an engine is chosen."""
    mark = fingerprint(spec.model_dump(mode="json"))
    for state in known:
        for worked in read_memory(state.run / FILE_NAME).worked.values():
            if worked.model == spec.name and worked.case.fingerprint == mark:
                return worked.remedies
    return ()


def examine(spec: ModelSpec, known: Sequence[State], *, ready: bool) -> Iterator[Finding]:
    """`ready` says that a running server has it ready, so that a failure is past."""
    mark, found = fingerprint(spec.model_dump(mode="json")), False
    for state in known:
        memory = read_memory(state.run / FILE_NAME)
        for replica, failed in memory.failed.items():
            if failed.model == spec.name:
                found = True
                yield failure(replica, failed, same=failed.fingerprint == mark, past=ready)
                yield log(replica, log_path(state.logs, replica))
        yield from kept(spec, memory, mark)
    if not found:
        yield Finding(id="start.failed", level="ok", what="no failed start is remembered")


def failure(replica: str, failed: Failed, *, same: bool, past: bool) -> Finding:
    """`same` says whether it failed with the settings of now."""
    link = reference(failed.signature, failed.source)
    when = f"{age(time.time() - failed.at)} ago"
    first = failed.reason.splitlines()[0] if failed.reason else ""
    level = "problem" if same and not past else "note"
    return Finding(
        id="start.failed",
        level=level,
        what=f"{replica} failed {when}{'' if same else ', with other settings'}",
        detail=f"{failed.cause}{link}" if failed.cause else first,
        fix="" if past else failed.fix or f"see the engine's last lines: moorage logs {replica}",
        subject=replica,
        facts={
            "at": failed.at,
            "reason": failed.reason,
            "engine": failed.engine,
            "generation": failed.generation,
            "signature": failed.signature,
            "source": failed.source,
            "same_settings": same,
        },
    )


def log(replica: str, path: Path) -> Finding:
    lines = last_lines(last_start(path))
    return Finding(
        id="start.log",
        level="note",
        what="the engine's last words" if lines else "the engine said nothing",
        detail=lines[-1].strip() if lines else str(path),
        subject=replica,
        facts={"path": str(path), "lines": lines},
    )


def kept(spec: ModelSpec, memory: Memory, mark: str) -> Iterator[Finding]:
    for worked in memory.worked.values():
        if worked.model != spec.name:
            continue
        same = worked.case.fingerprint == mark
        yield Finding(
            id="remedy.kept",
            level="note",
            what="the next start begins with it" if same else "of other settings",
            detail=f"{summary(worked.remedies)}{'' if same else '; forgotten at the next start'}",
            subject=worked.case.key,
            facts={
                "engine": worked.engine,
                "version": worked.case.version,
                "at": worked.at,
                "options": {name: value for remedy in worked.remedies for name, value in remedy.options.items()},
                "same_settings": same,
            },
        )
