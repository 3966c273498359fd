"""`/api/v1`: what administrators and the command line see. A gateway has identified the caller before."""

import time
from collections.abc import AsyncGenerator
from typing import Any, Protocol

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

import moorage
from moorage.controller.fleet import Fleet, ReplicaRecord
from moorage.controller.publisher import Publisher
from moorage.errors import MethodNotAllowed, MoorageError, NotFound, NotReady
from moorage.http.client import Client
from moorage.wire.control import Load, ReplicaReport


class Seen(Protocol):
    """What this API shows."""

    fleet: Fleet
    publisher: Publisher
    started: float

    @property
    def token(self) -> str: ...


class Public:
    def __init__(self, seen: Seen, client: Client) -> None:
        self._seen = seen
        self._client = client

    async def status(self, _: Request) -> Response:
        return JSONResponse(status(self._seen))

    async def replica(self, request: Request) -> Response:
        return JSONResponse(_replica(self._seen.fleet, self._find(request)))

    async def log(self, request: Request) -> Response:
        """The engine's log, from the worker that runs it: `?tail=N&follow=true`."""
        replica = self._find(request)
        worker = self._seen.fleet.workers.get(replica.worker) if replica.worker else None
        if worker is None:
            raise NotReady(f"{replica.id} has no log: {replica.reason}", retry_after_s=2.0)
        query = request.url.query
        path = f"/replicas/{replica.id}/log" + (f"?{query}" if query else "")
        call = self._client.call(worker.hello.address, "GET", path, token=self._seen.token)
        reply = await call.__aenter__()

        async def lines() -> AsyncGenerator[bytes]:
            try:
                async for chunk in reply.chunks():
                    yield chunk
            finally:
                await call.__aexit__(None, None, None)

        return StreamingResponse(lines(), status_code=reply.status, media_type=reply.content_type)

    def _find(self, request: Request) -> ReplicaRecord:
        id = request.path_params["id"]
        replica = self._seen.fleet.replicas.get(id)
        if replica is None:
            known = ", ".join(sorted(self._seen.fleet.replicas)) or "none"
            raise NotFound(f"there is no replica {id!r}; replicas: {known}")
        return replica


def status(seen: Seen) -> dict[str, Any]:
    """Models with their replicas, workers, gateways."""
    fleet = seen.fleet
    rows = fleet.model_rows()
    models: list[dict[str, Any]] = []
    for name in fleet.models:
        targets = [_replica(fleet, replica) for replica in fleet.replicas.values() if replica.model.name == name]
        row = rows[name]
        models.append(
            {
                "id": name,
                "task": row.task,
                "names": list(row.names),
                "max_model_len": row.max_model_len,
                "state": "ready" if any(t["state"] == "ready" for t in targets) else _worst(targets),
                "targets": targets,
            }
        )
    workers = [
        {
            "id": id,
            "hostname": record.hello.machine.hostname,
            "cores": record.hello.machine.cores,
            "memory_bytes": record.hello.machine.memory_bytes,
            "state": fleet.worker_state(record),
            "seen_s": round(fleet.seen_s(record), 1),
        }
        for id, record in fleet.workers.items()
    ]
    gateways = [
        {"process": reader.process, "pid": reader.pid, "connected_s": round(time.time() - reader.since, 1)}
        for reader in sorted(seen.publisher.readers, key=lambda reader: reader.process)
    ]
    return {
        "version": moorage.__version__,
        "uptime_s": round(time.time() - seen.started, 1),
        "models": models,
        "workers": workers,
        "gateways": gateways,
    }


def _worst(targets: list[dict[str, Any]]) -> str:
    return targets[0]["state"] if targets else "stopped"


def _replica(fleet: Fleet, replica: ReplicaRecord) -> dict[str, Any]:
    row = fleet.target_rows()[replica.id]
    report: ReplicaReport | None = fleet.report_of(replica)
    load = report.load if report else Load()
    progress = report.progress if report else None
    return {
        "id": row.id,
        "model": row.model,
        "state": row.state,
        "reason": row.reason,
        "since": row.since,
        "generation": row.generation,
        "engine": row.engine,
        "worker": row.worker,
        "capacity": row.capacity,
        "restarts": row.restarts,
        "retry_at": row.retry_at,
        "pid": report.pid if report else None,
        "progress": None if progress is None else _progress(progress.what, progress.done, progress.total),
        "load": {"running": load.running, "queued": load.queued, "kv_used": load.kv_used},
        "why": list(report.why) if report else [],
    }


def _progress(what: str, done: int, total: int | None) -> dict[str, Any]:
    return {"what": what, "done": done, "total": total}


async def _answer_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, MoorageError)
    headers = {"retry-after": str(round(error.retry_after_s))} if error.retry_after_s else {}
    return JSONResponse(error.openai(), status_code=error.status, headers=headers)


async def _answer_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        return await _answer_error(request, MethodNotAllowed(f"{request.method} is not possible here"))
    return await _answer_error(request, NotFound(f"there is no {request.url.path!r} here"))


ERROR_HANDLERS: Any = {MoorageError: _answer_error, HTTPException: _answer_http_error}


def routes(seen: Seen, client: Client) -> list[Route]:
    api = Public(seen, client)
    return [
        Route("/api/v1/status", api.status),
        Route("/api/v1/replicas/{id}", api.replica),
        Route("/api/v1/replicas/{id}/log", api.log),
    ]
