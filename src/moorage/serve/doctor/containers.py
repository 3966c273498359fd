"""Containers: Docker's client, daemon and Compose, or Podman. None is fine: Moorage runs without."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

from moorage.environments.bounded import Outcome, run, together
from moorage.serve.doctor.findings import Finding, Scope

DOCKER_LEAST = (20, 10)
COMPOSE_LEAST = (2,)

_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


def examine(scope: Scope) -> Iterator[Finding]:
    path = scope.environ.get("PATH")
    docker, podman, old_compose = (shutil.which(name, path=path) for name in ("docker", "podman", "docker-compose"))

    def asked(*argv: str) -> Callable[[], Outcome]:
        return partial(run, argv, scope.patience_s, scope.environ)

    jobs: dict[str, Callable[[], Outcome]] = {}
    if docker:
        jobs["docker"] = asked(docker, "version", "--format", "{{json .}}")
        jobs["compose"] = asked(docker, "compose", "version")
    if old_compose:
        jobs["old compose"] = asked(old_compose, "version", "--short")
    if podman:
        jobs["podman"] = asked(podman, "version", "--format", "{{json .}}")
    if not docker and not podman:
        yield Finding(id="containers.docker", level="ok", what="none", detail="Moorage runs without")
        return
    silent = Outcome(None, "", "")
    answers = dict(zip(jobs, together(jobs.values(), scope.patience_s + 0.5), strict=True))
    if docker:
        yield engine(answers["docker"] or silent)
        yield compose(answers["compose"] or silent, answers.get("old compose"))
    if podman:
        yield _podman(answers["podman"] or silent)


def engine(answer: Outcome) -> Finding:
    """Docker as `docker version --format '{{json .}}'` tells: the client's part, and the daemon's if it answers."""
    if answer.code is None:
        return Finding(
            id="containers.docker",
            level="warning",
            what="Docker does not answer",
            detail="its daemon took the call and says nothing",
            fix="sudo systemctl restart docker",
        )
    told = _json(answer.out)
    client, daemon = _version(told, "Client"), _version(told, "Server")
    facts = {"client": client or None, "server": daemon or None}
    if daemon:
        return _of_version("containers.docker", f"Docker {daemon}", daemon, DOCKER_LEAST, facts)
    what = f"Docker {client}, daemon away" if client else "Docker fails"
    reason, fix = _why_not(answer.last_words)
    return Finding(id="containers.docker", level="note", what=what, detail=reason, fix=fix, facts=facts)


def _why_not(words: str) -> tuple[str, str]:
    lower = words.lower()
    if "permission denied" in lower:
        return "this user may not use its socket", "sudo usermod -aG docker $USER    (then log in again)"
    if "cannot connect" in lower or "is the docker daemon running" in lower or "no such host" in lower:
        return "its daemon is not running, or not at DOCKER_HOST", "sudo systemctl start docker"
    return words or "it says nothing", "docker version"


def compose(answer: Outcome, old: Outcome | None) -> Finding:
    """`docker compose version`, a plug-in; `old` is what the separate docker-compose says, where there is one."""
    found = _VERSION.search(answer.out) if answer.ok else None
    if found:
        return _of_version("containers.compose", f"Compose {found[0]}", found[0], COMPOSE_LEAST, {"version": found[0]})
    before = _VERSION.search(old.out) if old and old.ok else None
    if before and _numbers(before[0]) >= COMPOSE_LEAST:
        return Finding(
            id="containers.compose",
            level="ok",
            what=f"Compose {before[0]}",
            detail="as docker-compose",
            facts={"version": before[0]},
        )
    return Finding(
        id="containers.compose",
        level="note",
        what="no Docker Compose 2",
        detail=f"docker-compose {before[0]} is of the old kind" if before else "`docker compose` is not installed",
        fix="sudo apt install docker-compose-plugin",
        facts={"version": before[0] if before else None},
    )


def _podman(answer: Outcome) -> Finding:
    version = _version(_json(answer.out), "Client")
    if not version:
        return Finding(
            id="containers.podman",
            level="warning",
            what="Podman fails" if answer.code is not None else "Podman does not answer",
            detail=answer.last_words,
            fix="podman system migrate",
        )
    return Finding(id="containers.podman", level="ok", what=f"Podman {version}", facts={"version": version})


def _of_version(id: str, what: str, version: str, least: tuple[int, ...], facts: dict[str, Any]) -> Finding:
    if _numbers(version) >= least:
        return Finding(id=id, level="ok", what=what, facts=facts)
    return Finding(
        id=id,
        level="warning",
        what=what,
        detail=f"older than {'.'.join(map(str, least))}, which is wanted",
        fix="install a newer one: docs.docker.com/engine/install",
        facts=facts,
    )


def _version(told: Any, part: str) -> str:
    """`{"Client": {"Version": "28.2.2"}}`; empty for what says nothing of the kind."""
    section = cast("dict[str, Any]", told).get(part) if isinstance(told, dict) else None
    version = cast("dict[str, Any]", section).get("Version") if isinstance(section, dict) else None
    return version if isinstance(version, str) else ""


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _numbers(version: str) -> tuple[int, ...]:
    found = _VERSION.search(version)
    return tuple(int(part) for part in found.groups() if part) if found else ()
