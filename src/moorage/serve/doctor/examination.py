"""The examination of this machine: every group in a thread of its own, all together within a few seconds."""

import contextlib
import importlib
import os
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from moorage.environments.bounded import together
from moorage.serve.doctor.findings import GROUPS, Examiner, Finding, Scope
from moorage.serve.doctor.secrets import Scrubber

if TYPE_CHECKING:
    from moorage.config.load import Loaded

LIMIT_S = 4.8
"""Of the whole examination."""

EXAMINERS: Mapping[str, str] = {
    "system": "moorage.serve.doctor.system:examine",
    "python": "moorage.serve.doctor.interpreter:examine",
    "processor": "moorage.serve.doctor.processor:examine",
    "memory": "moorage.serve.doctor.memory:examine",
    "gpu": "moorage.serve.doctor.graphics:examine",
    "disk": "moorage.serve.doctor.disk:examine",
    "engines": "moorage.serve.doctor.engines:examine",
    "models": "moorage.serve.doctor.caches:examine",
    "network": "moorage.serve.doctor.network:examine",
    "containers": "moorage.serve.doctor.containers:examine",
    "configuration": "moorage.serve.doctor.configuration:examine",
    "ports": "moorage.serve.doctor.ports:examine",
}
"""Group → `module:function`, loaded in the group's thread."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was found, in the order of GROUPS."""

    findings: tuple[Finding, ...]
    taken_at: float
    """Unix time."""
    elapsed_s: float


@dataclass
class _Group:
    findings: list[Finding] = field(default_factory=list[Finding])
    """Grows while the group is examined; the thread may outlive the examination."""


def examine(
    config_file: Path | None = None,
    *,
    offline: bool = False,
    environ: Mapping[str, str] | None = None,
    limit_s: float = LIMIT_S,
) -> Report:
    """Look at this machine and the configuration. Raises nothing for what it finds; holds no secret."""
    taken_at, began = time.time(), time.monotonic()
    variables = dict(os.environ if environ is None else environ)
    configuration: Future[Loaded] = Future()
    read = partial(_read, configuration, config_file, variables)
    threading.Thread(target=read, daemon=True).start()
    scope = Scope(
        environ=variables, configuration=configuration, offline=offline, patience_s=max(0.1, min(3.5, limit_s - 1.0))
    )
    groups = {name: _Group() for name in GROUPS}
    jobs = [partial(_look, name, scope, group) for name, group in groups.items()]
    done = together(jobs, limit_s - (time.monotonic() - began))
    findings: list[Finding] = []
    for (name, group), finished in zip(groups.items(), done, strict=True):
        findings += list(group.findings)
        if not finished:
            findings.append(_unfinished(name, limit_s))
    scrubber = Scrubber(variables, _secrets(configuration))
    return Report(
        findings=tuple(scrubber.clean(finding) for finding in findings),
        taken_at=taken_at,
        elapsed_s=time.monotonic() - began,
    )


def _look(name: str, scope: Scope, group: _Group) -> bool:
    try:
        module, _, function = EXAMINERS[name].partition(":")
        examiner: Examiner = getattr(importlib.import_module(module), function)
        for finding in examiner(scope):
            group.findings.append(finding)
    except Exception as error:  # noqa: BLE001 - one group's fault must not hide what the others found
        group.findings.append(
            Finding(
                id=f"{name}.fault",
                level="warning",
                what="could not be examined",
                detail=f"{type(error).__name__}: {error}",
                fix="report it as a fault of Moorage, with this line",
            )
        )
    return True


def _unfinished(name: str, limit_s: float) -> Finding:
    return Finding(
        id=f"{name}.unfinished",
        level="warning",
        what="not all could be examined in time",
        detail=f"something did not answer within {limit_s:g} s: a busy machine, or a disk or program that hangs",
        fix="moorage doctor, once more",
    )


def _read(future: "Future[Loaded]", file: Path | None, environ: Mapping[str, str]) -> None:
    from moorage.config.load import load

    try:
        future.set_result(load(file, environ=environ))
    except Exception as error:  # noqa: BLE001 - whoever asks for the configuration tells it
        future.set_exception(error)


def _secrets(configuration: "Future[Loaded]") -> list[str]:
    """The keys of the configuration, to be recognised wherever they might have slipped in."""
    if configuration.done():
        with contextlib.suppress(Exception):
            return [key.key.get_secret_value() for key in configuration.result().config.auth.keys]
    return []
