"""The public socket: bound once by the supervisor, inherited by every gateway.

Two listeners of one port (SO_REUSEPORT) lose the connections queued at one that dies; an inherited one loses none.
"""

import errno
import os
import socket

import psutil

from moorage.errors import ConfigError

BACKLOG = 2048


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ConfigError that names who holds the port."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except socket.gaierror as error:
        raise ConfigError(f"server.host {host!r} is not an address of this machine: {error.strerror}") from error
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(_cannot_bind(host, port, error)) from error
    listener.setblocking(False)
    listener.set_inheritable(True)
    return listener


def url_of(listener: socket.socket) -> str:
    """How to reach it from this machine."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _cannot_bind(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        owner = owner_of(port)
        held = f" by {owner}" if owner else ""
        return f"port {port} is taken{held}; stop it, or choose another with --port (server.port)"
    if error.errno == errno.EACCES:
        return f"port {port} needs rights this user has not; choose one above 1023 with --port (server.port)"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"server.host {host!r} is not an address of this machine"
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
