"""Unix sockets that only this user can open."""

import os
import socket
from pathlib import Path

SOCKET_PATH_BYTES = 107
"""What a Unix socket's path may have on Linux, without its final zero."""


def bind_unix(path: str | Path) -> socket.socket:
    """A listening, non-blocking Unix socket; one left behind by a dead process is replaced. Raises OSError."""
    Path(path).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        mask = os.umask(0o177)
        try:
            listener.bind(os.fspath(path))
        finally:
            os.umask(mask)
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener
