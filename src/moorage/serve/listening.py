"""The public sockets: bound once by the supervisor, inherited by every gateway.

Two listeners of one port (SO_REUSEPORT) lose the connections queued at one that dies; an inherited one loses none.
"""

import errno
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from moorage.config.tree import Listener
from moorage.errors import ConfigError

BACKLOG = 2048


def bind(host: str, port: int, option: str = "server", flag: str = "--port ") -> socket.socket:
    """A listening socket. Raises ConfigError that names who holds the port, and where to choose another:
    `option` is the section of the configuration that says it, `flag` the flag that does, with a space behind it."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except socket.gaierror as error:
        raise ConfigError(f"{option}.host {host!r} is not an address of this machine: {error.strerror}") from error
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(_cannot_bind(host, port, option, flag, error)) from error
    listener.setblocking(False)
    listener.set_inheritable(True)
    return listener


@dataclass(frozen=True)
class Bound:
    """A port that is held."""

    socket: socket.socket
    model: str
    """The name of the only model it serves, empty for all."""

    @property
    def url(self) -> str:
        return url_of(self.socket)


def bind_all(listeners: Iterable[Listener]) -> list[Bound]:
    """All of them or none. Raises ConfigError."""
    bound: list[Bound] = []
    try:
        for one in listeners:
            flag = "" if one.model else "--port "
            bound.append(Bound(bind(one.host, one.port, one.option, flag), one.model))
    except ConfigError:
        for held in bound:
            held.socket.close()
        raise
    return bound


def url_of(listener: socket.socket) -> str:
    """How to reach it from this machine."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _cannot_bind(host: str, port: int, option: str, flag: str, error: OSError) -> str:
    where = f"with {flag}({option}.port)" if flag else f"with {option}.port"
    if error.errno == errno.EADDRINUSE:
        owner = owner_of(port)
        held = f" by {owner}" if owner else ""
        return f"port {port} is taken{held}; stop it, or choose another {where}"
    if error.errno == errno.EACCES:
        return f"port {port} needs rights this user has not; choose one above 1023 {where}"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{option}.host {host!r} is not an address of this machine"
    return f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}"


def owner_of(port: int) -> str:
    """Who listens on a TCP port, as `name (pid N)`; empty where that cannot be seen."""
    try:
        connections = psutil.net_connections("tcp")
    except (psutil.Error, OSError):
        return ""
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
            if connection.pid is None:
                return ""
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.Error:
                return f"pid {connection.pid}"
    return ""
