"""A gateway: composes its rooms."""

import asyncio
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from moorage.gateway.entrance import Entrance
from moorage.gateway.forward import Forward
from moorage.gateway.peers import Peers, private_app
from moorage.gateway.pipeline import Pipeline
from moorage.gateway.protocol import Limits, bounded
from moorage.gateway.queue import Door, Doors
from moorage.gateway.seats import Seats
from moorage.gateway.settle import Settler
from moorage.gateway.surfaces.elastic import Elastic
from moorage.gateway.table import Table, TableFollower
from moorage.http.client import Client
from moorage.http.server import Server
from moorage.http.unix import bind_unix
from moorage.telemetry.gateway import GatewayMetrics
from moorage.telemetry.requests import RequestLog
from moorage.wire.launch import GatewayLaunch, private_socket, seats_page

log = structlog.get_logger("gateway")

TABLE_WAIT_S = 3.0


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
        self._pipeline = Pipeline(self.table, self._doors, self._client, self._settler, launch.spool_dir)
        self._forward = Forward(self.table, self._client, launch.controller, launch.token)
        self._peers = Peers(self._client, launch.socket_dir, launch.processes)
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
        self._servers = [Server(private, [bind_unix(private_socket(launch.socket_dir, launch.index))])]
        for listener in launch.listeners:
            app, sockets = self._entrance(listener.model), [socket.socket(fileno=listener.fd)]
            self._servers.append(Server(app, sockets, protocol=bounded(limits), idle_timeout_s=launch.idle_timeout_s))
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

    def _entrance(self, model: str) -> Entrance:
        metrics = self._launch.metrics
        return Entrance(model, self.table, self._pipeline, self._peers, self._forward, self._elastic, metrics=metrics)

    def _elastic(self, table: Callable[[], Table]) -> Elastic:
        return Elastic(table, self._client, self._launch.controller, self._launch.token)

    def _table_changed(self) -> None:
        self._doors.pump()

    def _bind_door(self, model: str, door: Door) -> None:
        self.metrics.waiting.labels(model).set_function(lambda: door.waiting)

    def _bind_gauges(self) -> None:
        self.metrics.in_flight.set_function(lambda: self.in_flight)
        self.metrics.table_age.set_function(lambda: time.time() - (self._follower.updated_at or time.time()))
