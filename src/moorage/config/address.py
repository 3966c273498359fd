"""Addresses to listen on, and to call."""

import ipaddress
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from moorage.config.units import Unfit


def _bindable(host: str) -> str:
    host = host.removeprefix("[").removesuffix("]") if ":" in host else host
    if not re.fullmatch(r"[A-Za-z0-9._:%-]+", host):
        raise Unfit(host, "a host; write an address or a name, like 127.0.0.1, ::1, 0.0.0.0 or localhost")
    return host


def _callable(url: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise Unfit(url, f"an address ({error}); write it like https://host/v1") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"[\s\x00-\x1f]", url):
        raise Unfit(url, "an address of HTTP; write it like https://host/v1 or http://127.0.0.1:8000")
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address holds no user and password; a key goes into api_key")
    if parts.query or parts.fragment:
        raise Unfit(url, "the address of a server; leave out what begins with ? or #")
    return url.rstrip("/")


Host = Annotated[str, AfterValidator(_bindable)]
Url = Annotated[str, AfterValidator(_callable)]
"""Of a server that is called, without a final slash."""
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
