"""A gateway: composes its rooms, and finds the hot routes before any router is asked."""

import asyncio
import os
import socket
import time
from pathlib import Path

import structlog
from starlette.types import Message, Receive, Scope, Send

from moorage.errors import MethodNotAllowed
from moorage.gateway.exchange import Exchange
from moorage.gateway.forward import Forward
from moorage.gateway.peers import Peers, private_app
from moorage.gateway.pipeline import Pipeline
from moorage.gateway.protocol import Limits, bounded
from moorage.gateway.queue import Door, Doors
from moorage.gateway.routes import Routes
from moorage.gateway.seats import Seats
from moorage.gateway.settle import Settler
from moorage.gateway.surfaces.invocations import INVOCATIONS
from moorage.gateway.surfaces.openai import SURFACES
from moorage.gateway.table import Table, TableFollower
from moorage.http.client import Client
from moorage.http.server import Server
from moorage.http.unix import bind_unix
from moorage.telemetry.gateway import GatewayMetrics
from moorage.telemetry.requests import RequestLog
from moorage.wire.launch import GatewayLaunch, private_socket, seats_page

log = structlog.get_logger("gateway")

TABLE_WAIT_S = 3.0
HOT = SURFACES | {"/invocations": INVOCATIONS}


class Gateway:
    """One gateway process: construct → start → stop."""

    def __init__(self, launch: GatewayLaunch) -> None:
        self._launch = launch
        self._client = Client()
        self.metrics = GatewayMetrics()
        self._lines = RequestLog(launch.log_style, launch.log_file)
        self._follower = TableFollower(
            self._client,
            launch.controller,
            launch.token,
            path=f"/internal/v1/table?process={launch.index}&pid={os.getpid()}",
            copy=Path(launch.table_copy) if launch.table_copy else None,
            on_change=self._table_changed,
        )
        shared = seats_page(launch.socket_dir) if launch.processes > 1 else None
        seats = Seats(launch.index, launch.processes, shared)
        self._doors = Doors(self.table, seats, self._bind_door)
        self._settler = Settler(self.metrics, self._lines)
        self._pipeline = Pipeline(self.table, self._doors, self._client, self._settler)
        forward = Forward(self.table, self._client, launch.controller, launch.token)
        peers = Peers(self._client, launch.socket_dir, launch.processes)
        self._routes = Routes(self.table, peers, forward, metrics=launch.metrics).app()
        self._bind_gauges()
        self._servers: list[Server] = []

    def table(self) -> Table:
        return self._follower.current

    async def start(self) -> None:
        """Serves once there is a table: the controller's, or after a moment its copy on disk."""
        await self._follower.start(TABLE_WAIT_S)
        launch = self._launch
        limits = Limits(launch.header_timeout_s, launch.body_timeout_s, launch.header_bytes)
        private = private_app(self.metrics, lambda: self.in_flight)
        listeners = [socket.socket(fileno=fd) for fd in launch.listen_fds]
        self._servers = [
            Server(private, [bind_unix(private_socket(launch.socket_dir, launch.index))]),
            Server(self, listeners, protocol=bounded(limits), idle_timeout_s=launch.idle_timeout_s),
        ]
        for server in self._servers:
            await server.start()

    async def stop(self) -> None:
        """Drain: no new connections, running calls end within the drain timeout, then are told that they are cut."""
        private, *public = self._servers or [None]
        await asyncio.gather(*(server.stop(self._launch.drain_timeout_s) for server in public if server))
        if private is not None:
            await private.stop(0.5)
        await self._follower.stop()
        await self._client.close()
        self._lines.close()

    @property
    def in_flight(self) -> int:
        return self._settler.in_flight

    def flush_log(self) -> None:
        """Write the request lines that are waiting."""
        self._lines.flush()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        surface = HOT.get(scope["path"])
        if surface is None:
            scope["moorage.exchange"] = exchange
            await self._routes(scope, receive, _with_request_id(exchange, send))
        elif scope["method"] == "POST":
            await self._pipeline.run(surface, exchange)
        else:
            await exchange.fail(MethodNotAllowed(f"{scope['method']} {scope['path']} is not possible; use POST"))

    def _table_changed(self) -> None:
        self._doors.pump()

    def _bind_door(self, model: str, door: Door) -> None:
        self.metrics.waiting.labels(model).set_function(lambda: door.waiting)

    def _bind_gauges(self) -> None:
        self.metrics.in_flight.set_function(lambda: self.in_flight)
        self.metrics.table_age.set_function(lambda: time.time() - (self._follower.updated_at or time.time()))


def _with_request_id(exchange: Exchange, send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = message.setdefault("headers", [])
            if not any(name == b"x-request-id" for name, _ in headers):
                headers.append((b"x-request-id", exchange.id.encode()))
        await send(message)

    return sending
