"""`/api/v1`: what administrators and the command line see. A gateway has identified the caller before."""

import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

import moorage
from moorage.controller.fleet import Fleet, ReplicaRecord
from moorage.controller.publisher import Publisher
from moorage.errors import NotFound, NotReady
from moorage.http.answer import Said
from moorage.http.client import Client, Reply
from moorage.wire.api.status import GatewayStatus, ModelStatus, Replica, ReplicaLoad, Status, WorkerStatus
from moorage.wire.control import Load
from moorage.wire.names import ReplicaState
from moorage.wire.table import ModelRow


class Seen(Protocol):
    """What this API shows."""

    fleet: Fleet
    publisher: Publisher
    started: float

    @property
    def token(self) -> str: ...

    @property
    def model_urls(self) -> Mapping[str, str]: ...


class Public:
    def __init__(self, seen: Seen, client: Client) -> None:
        self._seen = seen
        self._client = client

    async def status(self, _: Request) -> Response:
        return Said(status(self._seen))

    async def replica(self, request: Request) -> Response:
        return Said(_replica(self._seen.fleet, self._find(request)))

    async def log(self, request: Request) -> Response:
        """The engine's log, from the worker that runs it: `?tail=N&follow=true`."""
        replica = self._find(request)
        worker = self._seen.fleet.workers.get(replica.worker) if replica.worker else None
        if worker is None:
            raise NotReady(f"{replica.id} has no log: {replica.reason}", retry_after_s=2.0)
        query = request.url.query
        path = f"/replicas/{replica.id}/log" + (f"?{query}" if query else "")
        return _PassedOn(self._client.call(worker.hello.address, "GET", path, token=self._seen.token))

    def _find(self, request: Request) -> ReplicaRecord:
        id = request.path_params["id"]
        replica = self._seen.fleet.replicas.get(id)
        if replica is None:
            known = ", ".join(sorted(self._seen.fleet.replicas)) or "none"
            raise NotFound(f"there is no replica {id!r}; replicas: {known}")
        return replica


class _PassedOn(Response):
    """Another server's answer as it comes. Its connection is closed with ours, whoever ends first."""

    def __init__(self, call: AbstractAsyncContextManager[Reply]) -> None:
        super().__init__()
        self._call = call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._call as reply:
            answer = StreamingResponse(reply.chunks(), status_code=reply.status, media_type=reply.content_type)
            await answer(scope, receive, send)


def status(seen: Seen) -> Status:
    """Models with their replicas, workers, gateways."""
    fleet = seen.fleet
    workers = tuple(
        WorkerStatus(
            id=id,
            hostname=record.hello.machine.hostname,
            cores=record.hello.machine.cores,
            memory_bytes=record.hello.machine.memory_bytes,
            state=fleet.worker_state(record),
            seen_s=round(fleet.seen_s(record), 1),
        )
        for id, record in fleet.workers.items()
    )
    gateways = tuple(
        GatewayStatus(process=reader.process, pid=reader.pid, connected_s=round(time.time() - reader.since, 1))
        for reader in sorted(seen.publisher.readers, key=lambda reader: reader.process)
    )
    return Status(
        version=moorage.__version__,
        uptime_s=round(time.time() - seen.started, 1),
        models=tuple(_model(seen, row) for row in fleet.model_rows().values()),
        workers=workers,
        gateways=gateways,
    )


def _model(seen: Seen, row: ModelRow) -> ModelStatus:
    fleet = seen.fleet
    if row.parent:
        return _adapter(fleet, row)
    targets = tuple(_replica(fleet, record) for record in fleet.replicas.values() if record.model.name == row.id)
    ready = any(target.state == "ready" for target in targets)
    return ModelStatus(
        id=row.id,
        task=row.task,
        names=row.names,
        max_model_len=row.max_model_len,
        url=seen.model_urls.get(row.id),
        state="ready" if ready else targets[0].state if targets else "stopped",
        targets=targets,
    )


def _adapter(fleet: Fleet, row: ModelRow) -> ModelStatus:
    """Its replicas are its parent's, and shown there."""
    targets = [target for target in fleet.target_rows().values() if target.model == row.parent]
    serving = any(target.state == "ready" and row.id in target.loras for target in targets)
    states: list[ReplicaState] = [target.state for target in targets if target.state != "ready"]
    state: ReplicaState = "ready" if serving else states[0] if states else "starting" if targets else "stopped"
    return ModelStatus(
        id=row.id,
        task=row.task,
        names=row.names,
        max_model_len=row.max_model_len,
        url=None,
        state=state,
        targets=(),
        parent=row.parent,
    )


def _replica(fleet: Fleet, record: ReplicaRecord) -> Replica:
    row = fleet.target_row(record)
    report = fleet.report_of(record)
    load = report.load if report else Load()
    return Replica(
        id=row.id,
        model=row.model,
        state=row.state,
        reason=row.reason,
        since=row.since,
        generation=row.generation,
        engine=row.engine,
        worker=row.worker,
        capacity=row.capacity,
        restarts=row.restarts,
        retry_at=row.retry_at,
        pid=report.pid if report else None,
        progress=report.progress if report else None,
        load=ReplicaLoad(running=load.running, queued=load.queued, kv_used=load.kv_used),
        why=report.why if report else (),
    )


def routes(seen: Seen, client: Client) -> list[Route]:
    api = Public(seen, client)
    return [
        Route("/api/v1/status", api.status),
        Route("/api/v1/replicas/{id}", api.replica),
        Route("/api/v1/replicas/{id}/log", api.log),
    ]
