"""What a supervisor tells a gateway process: one JSON line on its standard input, which then stays open.

The pipe is the gateway's lifeline: when it closes, the supervisor is gone and the gateway goes too.
"""

from typing import Literal

from msgspec import Struct

STDOUT = "-"


class Listener(Struct, frozen=True, kw_only=True):
    """An inherited listening socket."""

    fd: int
    model: str = ""
    """The id of the only model it serves; empty for all."""


class GatewayLaunch(Struct, frozen=True, kw_only=True):
    index: int
    processes: int
    listeners: tuple[Listener, ...]
    controller: str
    """Where the controller's internal API answers."""
    token: str
    """What the internal API wants to be shown."""
    socket_dir: str
    """Holds `gateway-INDEX.sock` of every gateway, by which they ask each other for metrics, and their shared seats."""
    spool_dir: str
    """Holds uploads while they are on their way, as files without a name."""
    table_copy: str | None
    header_timeout_s: float
    body_timeout_s: float
    idle_timeout_s: float
    header_bytes: int
    drain_timeout_s: float
    metrics: bool
    log_style: Literal["json", "console"]
    log_level: str
    log_file: str | None
    """To append to; STDOUT is standard output, None is standard error."""


def private_socket(socket_dir: str, index: int) -> str:
    return f"{socket_dir}/gateway-{index}.sock"


def seats_page(socket_dir: str) -> str:
    return f"{socket_dir}/seats"
