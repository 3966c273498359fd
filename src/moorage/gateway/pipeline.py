"""The way of a request: identify → admit → route → relay → settle."""

import asyncio
from collections.abc import Callable

import structlog

from moorage.core.routing import TargetKey, key_of
from moorage.errors import (
    BadRequest,
    DeadlineExceeded,
    InternalError,
    MoorageError,
    Unavailable,
    UpstreamBroken,
    UpstreamError,
    UpstreamUnreachable,
)
from moorage.gateway import edits
from moorage.gateway.bodies.form import FormBody
from moorage.gateway.bodies.json import JsonBody
from moorage.gateway.call import Body, Call, Surface
from moorage.gateway.exchange import ClientLeft, Exchange
from moorage.gateway.identify import identify
from moorage.gateway.queue import Doors
from moorage.gateway.relay import Relay
from moorage.gateway.settle import Settler
from moorage.gateway.surfaces.invocations import INVOCATIONS, decide
from moorage.gateway.table import Table
from moorage.http.client import Client
from moorage.http.deadline import Deadline
from moorage.wire.table import ModelRow, Settings

log = structlog.get_logger("gateway")

ATTEMPTS_MAX = 3
"""Engines a call may be sent to. A call that brings engines down must not go round all of them."""


class Pipeline:
    """Carries calls from a surface to an engine and back. One per gateway process."""

    def __init__(
        self, table: Callable[[], Table], doors: Doors, client: Client, settler: Settler, spool_dir: str
    ) -> None:
        """`spool_dir` holds uploads while they are on their way."""
        self._table = table
        self._doors = doors
        self._client = client
        self._settler = settler
        self._spool_dir = spool_dir

    async def run(self, surface: Surface, exchange: Exchange, table: Table) -> None:
        """`table` is what the listener shows: all models, or its own alone."""
        call = Call(surface, exchange.id)
        body: Body | None = None
        self._settler.begin(call)
        try:
            call.principal = identify(table.snapshot, exchange)
            body = await self._receive(surface, exchange, table.settings)
            model = read_call(call, body, table)
            async with exchange.connected(), Deadline(table.settings.total_timeout_s) as deadline:
                what = "first token" if call.stream else "reply"
                deadline.phase(what, table.settings.request_timeout_s, "server.request_timeout")
                await self._deliver(call, body, model, table.settings, exchange, deadline)
        except ClientLeft:
            call.outcome = "cancelled"
        except MoorageError as error:
            await self._fail(call, exchange, error)
        except asyncio.CancelledError:
            call.outcome = "cancelled"
            await exchange.fail(Unavailable("this gateway is shutting down", retry_after_s=1.0))
            raise
        except Exception as error:
            log.exception("a call met a fault of ours", id=call.id)
            await self._fail(call, exchange, InternalError(f"internal error; request id {call.id}"))
            call.error = type(error).__name__
        finally:
            if body is not None:
                body.close()
            self._settler.settle(call, exchange)

    async def _receive(self, surface: Surface, exchange: Exchange, settings: Settings) -> Body:
        if surface.form:
            return await FormBody.receive(exchange, settings.max_upload_bytes, self._spool_dir)
        return await JsonBody.receive(exchange, settings.max_request_bytes)

    async def _deliver(
        self, call: Call, body: Body, model: ModelRow, settings: Settings, exchange: Exchange, deadline: Deadline
    ) -> None:
        """Try targets until one has begun to answer. The one retry loop: nothing is retried after the first byte."""
        door = self._doors[model.id]
        excluded: frozenset[TargetKey] = frozenset()
        while True:
            call.phase = "queued"
            arrived_s = call.elapsed_s()
            try:
                target = await door.enter(model, excluded, settings.queue_timeout_s)
            finally:
                call.queued_s += call.elapsed_s() - arrived_s
            call.target = target
            call.attempts += 1
            seated_s = call.elapsed_s()
            try:
                content = body.for_target(call, model, target)
                await Relay(call, target, exchange, self._client, settings, deadline).run(content)
                return
            except (UpstreamError, Unavailable) as error:
                if exchange.started or call.attempts >= ATTEMPTS_MAX or not self._elsewhere(call, error, excluded):
                    raise
                excluded |= {key_of(target)}
                self._settler.retried(call, error)
            finally:
                door.leave(target, call.elapsed_s() - seated_s)

    def _elsewhere(self, call: Call, error: MoorageError, excluded: frozenset[TargetKey]) -> bool:
        """Whether another attempt makes sense: always after a lost connection (the engine restarts, or it was stale),
        else only if there is a target that was not tried."""
        if isinstance(error, (UpstreamUnreachable, UpstreamBroken)):
            return True
        assert call.model is not None
        assert call.target is not None
        tried = excluded | {key_of(call.target)}
        targets = self._table().targets.get(call.model.id, ())
        return any(t.state == "ready" and key_of(t) not in tried for t in targets)

    async def _fail(self, call: Call, exchange: Exchange, error: MoorageError) -> None:
        call.outcome = "broken" if exchange.streaming else "error"
        call.error = error.error_code
        if isinstance(error, DeadlineExceeded) and exchange.streaming:
            log.warning("a stream stalled", id=call.id, error=error.message)
        await exchange.fail(error)


def read_call(call: Call, body: Body, table: Table) -> ModelRow:
    """Read what the way of a call depends on. The engine judges the rest."""
    call.asked = body.read("model", str, "")
    model = table.model(call.asked) if call.asked else None
    if call.surface is INVOCATIONS:
        call.surface = decide(body.names, model.task if model else table.sole_task())
    surface = call.surface
    if model is None:
        model = table.sole(surface.tasks)
        call.asked = model.id
    call.model = model
    if model.task is not None and model.task not in surface.tasks:
        raise BadRequest(f"{model.id!r} is a model to {model.task}; it has no {surface.name}", param="model")
    call.stream = surface.streams and body.read("stream", bool, False)
    call.wants_usage = not surface.generates or _asks_for_usage(body)
    edits.check_bound(call, body, model)
    return model


def _asks_for_usage(body: Body) -> bool:
    return body.read("stream_options", dict[str, object], {}).get("include_usage") is True
