"""What a running server says of a model."""

import http.client
import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from moorage.config.tree import Config
from moorage.core.text import harmless
from moorage.serve.doctor.findings import Finding, Level

ANSWER_S = 3.0
BODY_BYTES_MAX = 8 << 20
LEVELS: Mapping[str, Level] = {"ready": "ok", "failed": "problem", "unreachable": "problem"}
"""Of a replica's states; all others pass."""

Row = dict[str, Any]


def status(config: Config, environ: Mapping[str, str]) -> Row | None:
    """`/api/v1/status` of the server at the configured address; None where no Moorage answers, or not to us."""
    key = environ.get("MOORAGE_API_KEY") or next((key.key.get_secret_value() for key in config.auth.keys), "")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.server.host, config.server.host)
    if not config.server.port:
        return None
    connection = http.client.HTTPConnection(host, config.server.port, timeout=ANSWER_S)
    try:
        connection.request("GET", "/api/v1/status", headers={"Authorization": f"Bearer {key}"} if key else {})
        reply = connection.getresponse()
        value: Any = json.loads(reply.read(BODY_BYTES_MAX)) if reply.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError, RecursionError):
        return None
    finally:
        connection.close()
    found = cast("Row", value) if isinstance(value, dict) else {}
    models: Any = found.get("models")
    well = isinstance(models, list) and all(isinstance(row, dict) for row in cast("list[Any]", models))
    return found if well else None


def row_of(seen: Row | None, model: str) -> Row | None:
    rows = cast("list[Row]", seen["models"] if seen else [])
    return next((row for row in rows if model in (row.get("id"), *row.get("names", ()))), None)


def is_ready(row: Row | None) -> bool:
    return row is not None and row.get("state") == "ready"


def examine(seen: Row | None, row: Row | None, model: str) -> Iterator[Finding]:
    if seen is None:
        detail = "nobody to ask how it does"
        yield Finding(id="server.replica", level="note", what="no Moorage answers here", detail=detail)
        return
    if row is None:
        names = ", ".join(str(row.get("id")) for row in seen["models"]) or "none"
        detail = f"the server that runs here serves {names}"
        yield Finding(id="server.replica", level="note", what=f"{model} is not served", detail=detail)
        return
    for target in cast("list[Row]", row.get("targets") or []):
        yield replica(target)
    if not row.get("targets"):
        yield Finding(id="server.replica", level="note", what=f"no replica, {row.get('state', '?')}")


def replica(target: Row) -> Finding:
    state = str(target.get("state", "?"))
    reason = harmless(str(target.get("reason") or ""))
    return Finding(
        id="server.replica",
        level=LEVELS.get(state, "note"),
        what=f"{target.get('id')} is {state}",
        detail=reason.splitlines()[0] if reason else "",
        fix=f"moorage logs {target.get('id')}" if state == "failed" else "",
        subject=str(target.get("id")),
        facts={name: target.get(name) for name in ("state", "reason", "engine", "generation", "restarts", "why")},
    )
