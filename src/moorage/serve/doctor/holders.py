"""Who holds a TCP port, as far as this user may see."""

import pwd
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_LISTEN = "0A"
"""The state in /proc/net/tcp."""


@dataclass(frozen=True)
class Holder:
    """What can be seen of a listener; the process of another user cannot."""

    pid: int | None = None
    name: str = ""
    user: str = ""

    def __str__(self) -> str:
        known = [f"pid {self.pid}" if self.pid else "", f"user {self.user}" if self.user else ""]
        about = ", ".join(part for part in known if part)
        name = self.name or "a process of another user"
        return f"{name} ({about})" if about else name


def holder(port: int) -> Holder | None:
    """Who listens on a port, on whatever address; None where nobody does."""
    if pid := _pid(port):
        return _of_pid(pid)
    user = owner(port)
    return Holder(user=user) if user else None


def _pid(port: int) -> int | None:
    try:
        connections = psutil.net_connections("tcp")
    except (psutil.Error, OSError):
        return None
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
            return connection.pid
    return None


def _of_pid(pid: int) -> Holder:
    name = user = ""
    with suppress(psutil.Error, KeyError):
        process = psutil.Process(pid)
        name = process.name()
        user = process.username()
    return Holder(pid, name, user)


def owner(port: int, net: Path = Path("/proc/net")) -> str:
    """The user whose listener it is; the kernel tells that to everybody."""
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (net / table).read_text().splitlines()[1:]:
                fields = line.split()
                if len(fields) > 7 and fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    return _user(int(fields[7]))
    return ""


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
