"""Addresses to listen on."""

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator, Field

from moorage.config.units import Unfit


def _bindable(host: str) -> str:
    host = host.removeprefix("[").removesuffix("]") if ":" in host else host
    if not re.fullmatch(r"[A-Za-z0-9._:%-]+", host):
        raise Unfit(host, "a host; write an address or a name, like 127.0.0.1, ::1, 0.0.0.0 or localhost")
    return host


Host = Annotated[str, AfterValidator(_bindable)]
Port = Annotated[int, Field(ge=0, le=65535)]


def is_loopback(host: str) -> bool:
    """Whether a listener on `host` can only be reached from this machine. A name other than localhost counts as no."""
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return host.lower().rstrip(".") == "localhost"
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def overlap(one: str, other: str) -> bool:
    """Whether listeners on these two hosts would share a port. Names are taken for what they say."""
    return one.lower() == other.lower() or any(_is_any(host) for host in (one, other))


def _is_any(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
