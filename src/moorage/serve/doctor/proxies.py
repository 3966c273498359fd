"""Proxies of the environment, as programs read them, with their passwords left out."""

import ipaddress
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from moorage.serve.doctor.findings import Finding
from moorage.serve.doctor.secrets import masked

SCHEMES = ("http", "https", "all")
LOOPBACK = ("127.0.0.1", "localhost")
LOOPBACK_ADVICE = "export no_proxy=localhost,127.0.0.1,::1"
USABLE = ("http", "https")
"""Kinds of proxies that a download goes through."""


def variable(environ: Mapping[str, str], scheme: str) -> tuple[str, str]:
    """Name and value of the variable that counts: lower case first, as curl and Python read them."""
    for name in (f"{scheme}_proxy", f"{scheme.upper()}_PROXY"):
        if environ.get(name):
            return name, environ[name].strip()
    return f"{scheme}_proxy", ""


def examine(environ: Mapping[str, str]) -> Iterator[Finding]:
    found = {scheme: variable(environ, scheme) for scheme in SCHEMES}
    for name, value in found.values():
        if value:
            yield proxy(name, value, environ)
    if not any(value for _, value in found.values()):
        yield Finding(id="network.proxy", level="ok", what="no proxy", facts={"proxies": []})
    elif found["http"][1] or found["all"][1]:
        yield exceptions(variable(environ, "no")[1])


def proxy(name: str, value: str, environ: Mapping[str, str]) -> Finding:
    shown = masked(value)
    facts = {"variable": name, "url": shown}
    if why := wrong(value):
        return Finding(
            id="network.proxy",
            level="warning",
            what=f"{name} is no address",
            detail=f"{shown!r}: {why}",
            fix=f"unset {name}, or export {name}=http://HOST:PORT",
            subject=name,
            facts=facts,
        )
    other = environ.get(name.upper() if name.islower() else name.lower())
    if other and other.strip() != value:
        return Finding(
            id="network.proxy",
            level="warning",
            what=f"{name} and {name.swapcase()} differ",
            detail=f"{shown} and {masked(other)}: programs take the one or the other",
            fix=f'export {name.swapcase()}="${name}"',
            subject=name,
            facts=facts,
        )
    return Finding(id="network.proxy", level="ok", what=name, detail=shown, subject=name, facts=facts)


def wrong(value: str) -> str:
    """What keeps it from being a proxy's address; empty for nothing."""
    if any(char.isspace() or not char.isprintable() for char in value):
        return "it holds spaces or control characters"
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return "its port is none" if "ort" in str(error) else "it cannot be read"
    if parts.scheme not in USABLE:
        return f"downloads go through {' and '.join(USABLE)} proxies, not {parts.scheme}"
    return "" if host else "it names no host"


def exceptions(no_proxy: str) -> Finding:
    """Whether programs that call this machine's own models leave the proxy out."""
    missing = [host for host in LOOPBACK if not bypassed(host, no_proxy)]
    facts = {"no_proxy": no_proxy, "missing": missing}
    if not missing:
        return Finding(id="network.no_proxy", level="ok", what="no_proxy", detail=no_proxy, facts=facts)
    return Finding(
        id="network.no_proxy",
        level="warning",
        what="local calls would go to the proxy",
        detail=f"no_proxy lacks {' and '.join(missing)}: curl and SDKs would send calls for this server there",
        fix=LOOPBACK_ADVICE,
        facts=facts,
    )


def bypassed(host: str, no_proxy: str) -> bool:
    """Whether calls to `host` leave the proxy out: a name, a suffix of names, a network, or `*` for all."""
    for entry in (part.strip().lower() for part in no_proxy.split(",")):
        suffix = entry.removeprefix("*").lstrip(".").partition(":")[0]
        if entry in ("*", host) or (suffix and (host == suffix or host.endswith(f".{suffix}"))):
            return True
        try:
            if ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False):
                return True
        except ValueError:
            continue
    return False
