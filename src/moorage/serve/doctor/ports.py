"""The ports the configuration wants: free, held by someone, or by a Moorage that answers."""

import errno
import http.client
import json
import os
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any, cast

from moorage.config.tree import Listener, listeners
from moorage.environments.bounded import together
from moorage.errors import MoorageError
from moorage.serve.doctor.findings import Finding, Scope
from moorage.serve.doctor.holders import Holder, holder

USUAL = Listener("server", "127.0.0.1", 8000)
"""Where Moorage listens when nobody says otherwise."""
ANSWER_S = 1.5
BODY_BYTES_MAX = 1 << 20
FREE_TRIES = 50


def examine(scope: Scope) -> Iterator[Finding]:
    try:
        wanted = listeners(scope.configuration.result().config)
    except (MoorageError, OSError):  # which `configuration` tells
        wanted = (USUAL,)
    found = together([partial(_look, listener) for listener in wanted], scope.patience_s)
    for listener, findings in zip(wanted, found, strict=True):
        # Whoever holds a port and lets nobody finish asking is no Moorage that serves.
        facts: dict[str, Any] = {"host": listener.host, "port": listener.port}
        yield from findings or [_taken(listener, holder(listener.port), facts)]


def _look(listener: Listener) -> list[Finding]:
    return list(look(listener))


def written(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def look(listener: Listener) -> Iterator[Finding]:
    host, port = listener.host, listener.port
    subject = written(host, port)
    facts: dict[str, Any] = {"host": host, "port": port}
    if port == 0:
        yield Finding(id="ports.listen", level="ok", what="any free port", subject=subject, facts=facts)
        return
    refusal = bind_error(host, port)
    if refusal is None:
        yield Finding(id="ports.listen", level="ok", what=f"{subject} is free", subject=subject, facts=facts)
        return
    if refusal.errno != errno.EADDRINUSE:
        yield _impossible(listener, refusal, facts)
        return
    by = holder(port)
    facts |= {"pid": by.pid, "process": by.name, "user": by.user} if by else {}
    if (seen := ask(host, port)) is not None:
        what, detail = f"{subject} is held by Moorage", str(by or "")
        yield Finding(id="ports.listen", level="ok", what=what, detail=detail, subject=subject, facts=facts)
        yield server(seen, subject)
        return
    yield _taken(listener, by, facts)


def bind_error(host: str, port: int) -> OSError | None:
    """Why the server could not listen there; None when it could. The socket is closed again at once."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(1)
    except OSError as error:
        return error
    return None


def _impossible(listener: Listener, error: OSError, facts: dict[str, Any]) -> Finding:
    host, port, subject = listener.host, listener.port, written(listener.host, listener.port)
    if error.errno == errno.EACCES:
        return Finding(
            id="ports.listen",
            level="problem",
            what=f"{subject} is not allowed",
            detail="ports below 1024 need rights this user has not",
            fix=_other_port(listener, port + 8000),
            subject=subject,
            facts=facts,
        )
    return Finding(
        id="ports.listen",
        level="problem",
        what=f"{host} is not here",
        detail=f"{host!r} is no address of this machine: {error.strerror or error}",
        fix=f"set {listener.option}.host to 127.0.0.1, or to 0.0.0.0 for all addresses",
        subject=subject,
        facts=facts,
    )


def _other_port(listener: Listener, port: int) -> str:
    return f"moorage serve --port {port}" if listener.option == "server" else f"set {listener.option}.port to {port}"


def _taken(listener: Listener, by: Holder | None, facts: dict[str, Any]) -> Finding:
    subject = written(listener.host, listener.port)
    stop = f", or stop the other: kill {by.pid}" if by and by.pid and by.pid != os.getpid() else ""
    return Finding(
        id="ports.listen",
        level="problem",
        what=f"{subject} is taken",
        detail=f"by {by}, which is no Moorage" if by else "by a process that cannot be seen from here",
        fix=f"{_other_port(listener, next_free(listener.port))}{stop}",
        subject=subject,
        facts=facts,
    )


def next_free(port: int) -> int:
    candidates = range(port + 1, min(port + FREE_TRIES, 65536))
    return next((other for other in candidates if bind_error("127.0.0.1", other) is None), 0)


# A running server


def ask(host: str, port: int, timeout_s: float = ANSWER_S) -> dict[str, Any] | None:
    """Version and health of the Moorage that answers there; None for silence and for what is no Moorage."""
    place = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    version, health = _get(place, port, "/version", timeout_s), None
    if version is not None and isinstance(version.get("version"), str):
        health = _get(place, port, "/health", timeout_s)
    if version is None or health is None or not isinstance(health.get("models"), dict):
        return None
    return {"version": version["version"], **health}


def _get(host: str, port: int, path: str, timeout_s: float) -> dict[str, Any] | None:
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        value: Any = json.loads(connection.getresponse().read(BODY_BYTES_MAX))
    except (OSError, http.client.HTTPException, ValueError, RecursionError):
        return None
    finally:
        connection.close()
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def server(seen: dict[str, Any], subject: str) -> Finding:
    """A running server as `ask` saw it."""
    models: dict[str, Any] = seen["models"]
    ready = sum(isinstance(model, dict) and cast("Any", model).get("state") == "ready" for model in models.values())
    facts = {"version": seen["version"], "status": seen.get("status"), "models": len(models), "ready": ready}
    well = seen.get("status") == "healthy"
    return Finding(
        id="ports.server",
        level="ok" if well else "warning",
        what=f"Moorage {seen['version']} answers",
        detail=f"{ready} of {len(models)} models ready",
        fix="" if well else "moorage status",
        subject=subject,
        facts=facts,
    )
