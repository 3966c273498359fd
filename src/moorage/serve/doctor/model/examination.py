"""The examination of one model: would it start here, with what, and if not, why."""

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from moorage.config.model import ModelSpec
from moorage.core.remedies import with_remedies
from moorage.environments.bounded import together
from moorage.errors import MoorageError
from moorage.serve.doctor import configuration, ports
from moorage.serve.doctor.examination import Report
from moorage.serve.doctor.findings import Finding
from moorage.serve.doctor.model import files, history, plan, server
from moorage.serve.doctor.secrets import Scrubber
from moorage.serve.equipment import equipped

if TYPE_CHECKING:
    from moorage.config.load import Loaded
    from moorage.config.tree import Config
    from moorage.serve.doctor.model.server import Row
    from moorage.serve.state import State

LIMIT_S = 15.0
"""Of the whole examination."""
PROGRAM_S = 6.0
"""For one engine's program to tell its flags, where nobody asked it before."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is examined."""

    spec: ModelSpec
    configured: str = ""
    """The file that names it; empty for a source of the command line."""


def examine(
    model: Mapping[str, str],
    config_file: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    limit_s: float = LIMIT_S,
) -> Report:
    """`model` is a name or alias of the configuration, or what names a source: `{name, source}`.

    Raises nothing for what it finds; holds no secret. Changes nothing.
    """
    taken_at, began = time.time(), time.monotonic()
    variables = dict(os.environ if environ is None else environ)
    found: list[Finding] = []
    secrets: list[str] = []
    (done,) = together([partial(_collect, found, secrets, model, config_file, variables)], limit_s)
    findings = list(found)
    if not done:
        findings.append(_unfinished(limit_s))
    scrubber = Scrubber(variables, secrets)
    return Report(
        findings=tuple(scrubber.clean(finding) for finding in findings),
        taken_at=taken_at,
        elapsed_s=time.monotonic() - began,
    )


def _collect(
    found: list[Finding],
    secrets: list[str],
    model: Mapping[str, str],
    config_file: Path | None,
    environ: Mapping[str, str],
) -> bool:
    """Findings as they are made: the thread may outlive the examination."""
    try:
        found.extend(_look(secrets, model, config_file, environ))  # what came before an error stays
    except Exception as error:  # noqa: BLE001 - what was found so far is still worth telling
        found.append(
            Finding(
                id="model.fault",
                level="warning",
                what="could not be examined to the end",
                detail=f"{type(error).__name__}: {error}",
                fix="report it as a fault of Moorage, with this line",
            )
        )
    return True


def _look(
    secrets: list[str], model: Mapping[str, str], config_file: Path | None, environ: Mapping[str, str]
) -> Iterator[Finding]:
    from moorage.config.load import load

    try:
        loaded = load(config_file, environ=environ)
        secrets += [key.key.get_secret_value() for key in loaded.config.auth.keys]
    except (MoorageError, OSError) as error:
        yield from configuration.refused(str(error))
        return
    subject = _subject(model, loaded)
    if subject is None:
        yield unknown(model["asked"], loaded)
        return
    spec, config = subject.spec, loaded.config
    yield described(subject)
    seen = server.status(config, environ)
    row = server.row_of(seen, spec.name)
    if spec.url is not None:
        yield _elsewhere(spec)
    else:
        yield from _here(spec, config, environ, row)
    yield from server.examine(seen, row, spec.name)


def _here(spec: ModelSpec, config: "Config", environ: Mapping[str, str], row: "Row | None") -> Iterator[Finding]:
    assert config.cache_dir is not None
    assert config.state_dir is not None
    found = files.Files()
    known = history.states(config.state_dir, config.server.port)
    yield from files.examine(spec, config.cache_dir, environ, found)
    if found.facts is not None:
        here = equipped(config.cache_dir, environ, limit_s=PROGRAM_S, remember=False)
        begun = _with_remembered(spec, known)
        yield from plan.examine(begun, found.facts, here, runs=server.is_ready(row))
    yield from _ports(spec, config)
    yield from history.examine(spec, known, ready=server.is_ready(row))


def _with_remembered(spec: ModelSpec, known: "list[State]") -> ModelSpec:
    options = with_remedies(spec.options, history.remembered(spec, known))
    return spec.model_copy(update={"options": options})


def _ports(spec: ModelSpec, config: "Config") -> Iterator[Finding]:
    from moorage.config.tree import listeners

    for listener in listeners(config):
        if listener.model in ("", spec.name):
            yield from ports.look(listener)


def _subject(model: Mapping[str, str], loaded: "Loaded") -> Subject | None:
    """None for what is neither a model of the configuration nor a source."""
    from pydantic import ValidationError

    from moorage.models.source import FileSource, parse

    name = model["asked"]
    for spec in loaded.config.models.local:
        if name in (spec.name, *spec.aliases):
            return Subject(spec=spec, configured=str(loaded.path or "built-in values"))
    if "source" not in model:
        return None
    try:
        source = parse(model["source"])
        if isinstance(source, FileSource) and "/" not in name and not source.path.exists():
            return None
        return Subject(spec=ModelSpec(name=model["name"], source=model["source"]))
    except (MoorageError, ValidationError, OSError):
        return None


def unknown(name: str, loaded: "Loaded") -> Finding:
    known = ", ".join(spec.name for spec in loaded.config.models.local) or "no model"
    return Finding(
        id="model.configured",
        level="problem",
        what=f"{name!r} is not known",
        detail=f"{loaded.path or 'the built-in configuration'} has {known}; and there is no such file or folder",
        fix="name one of those, a file, a folder, or a source such as ORG/NAME",
    )


def described(subject: Subject) -> Finding:
    spec = subject.spec
    where = subject.configured or "not in the configuration: examined as `moorage serve` would take it"
    names = f"also {', '.join(spec.aliases)}; " if spec.aliases else ""
    return Finding(
        id="model.configured",
        level="ok",
        what=spec.name,
        detail=f"{names}{where}",
        facts={"name": spec.name, "source": spec.source, "configured": bool(subject.configured)},
    )


def _elsewhere(spec: ModelSpec) -> Finding:
    return Finding(
        id="engine.choice",
        level="ok",
        what="runs elsewhere",
        detail=f"{spec.url} answers for it; nothing is started here",
        facts={"url": str(spec.url)},
    )


def _unfinished(limit_s: float) -> Finding:
    return Finding(
        id="model.unfinished",
        level="warning",
        what="not all could be examined in time",
        detail=f"something did not answer within {limit_s:g} s: a busy machine, or a disk or program that hangs",
        fix="moorage doctor, once more",
    )
