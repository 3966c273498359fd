"""The gateway's `config.yaml`, which is valid Moorage configuration as it stands: options it has and this version does
not have yet are accepted with their types checked, and have no effect. A row goes when its feature comes.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from moorage.config.address import Host, Port
from moorage.config.foreign.converted import Converted, Note
from moorage.config.options import Path, dotted
from moorage.config.plain import is_list, is_section, kind
from moorage.config.units import Duration, Size

Count = int
Driver = Literal["sqlite", "mysql", "mariadb", "postgres", "postgresql"]


@dataclass(frozen=True)
class Later:
    """Options of a section, or one option, that have no effect yet."""

    why: str
    keys: Mapping[str, Any]
    """Name → type. A row for a single option has it under the empty name."""
    many: bool = False
    """Whether it is a list of such sections."""


_GRPC = "gRPC is not served; clients call over HTTP"
_SESSIONS = "there are no users with sessions yet; clients call with the keys of auth.keys or MOORAGE_API_KEY"
_FLEET = "each model has the replicas its own `replicas` says"

LATER: dict[Path, Later] = {
    ("server", "grpc"): Later(_GRPC, {"enabled": bool, "port": Port, "max_message_size": Size}),
    ("server", "protocol_buffers"): Later(_GRPC, {"proto_path": str}),
    ("grpc_tls",): Later(_GRPC, {"enabled": bool, "cert_file": str, "key_file": str, "ca_file": str}),
    ("database",): Later(
        "no accounts and no usage are kept; what must be remembered is in state_dir",
        {
            "driver": Driver,
            "host": Host,
            "port": Port,
            "user": str,
            "password": str,
            "database": str,
            "max_idle_connections": Count,
            "max_open_connections": Count,
            "connection_lifetime": Duration,
        },
    ),
    ("redis",): Later(
        "limits and caches are not shared between machines", {"host": Host, "port": Port, "password": str, "db": Count}
    ),
    ("auth", "jwt_secret"): Later(_SESSIONS, {"": str}),
    ("auth", "token_expiry"): Later(_SESSIONS, {"": Duration}),
    ("auth", "refresh_token_expiry"): Later(_SESSIONS, {"": Duration}),
    ("models", "providers"): Later(
        "models of outside providers are not served; only models.local are",
        {"name": str, "enabled": bool, "api_key": str, "base_url": str, "models": list[str]},
        many=True,
    ),
    ("workers", "min_count"): Later(_FLEET, {"": Count}),
    ("workers", "max_count"): Later(_FLEET, {"": Count}),
    ("workers", "autoscaling"): Later(
        _FLEET,
        {
            "enabled": bool,
            "scale_up_threshold": float,
            "scale_down_threshold": float,
            "scale_up_factor": float,
            "scale_down_factor": float,
            "cooldown_period": Duration,
        },
    ),
    ("monitoring", "metrics", "port"): Later("metrics are at /metrics of server.port", {"": Port}),
    ("monitoring", "tracing"): Later(
        "no traces are sent", {"enabled": bool, "provider": str, "endpoint": str, "sample_rate": float}
    ),
}


def convert(data: Any) -> Converted:
    """The tree without the options that have no effect yet. Everything else stays, for validation to judge."""
    if not is_section(data):
        return Converted(data, ())
    notes: list[Note] = []
    tree = _without(data, (), notes)
    notes += (Note("honoured", path, path) for path in _paths(tree, ()))
    return Converted(tree, tuple(notes))


def _without(data: dict[str, Any], path: Path, notes: list[Note]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in data.items():
        here = (*path, name)
        if here in LATER:
            notes += _later(LATER[here], value, here)
        elif is_section(value) and any(row[: len(here)] == here for row in LATER):
            kept[name] = _without(value, here, notes)
        else:
            kept[name] = value
    return kept


def _later(row: Later, value: Any, path: Path) -> Iterator[Note]:
    if value is None:
        yield Note("honoured", path, why="empty, as if left out")
    elif "" in row.keys:
        yield _checked(row.keys[""], value, path) or _nothing(row, path)
    elif row.many:
        yield from _many(row, value, path)
    elif is_section(value):
        yield from _section(row, value, path)
    else:
        yield Note("refused", path, why=f"{kind(value)} will not do; it should be a section with `key: value` lines")


def _many(row: Later, value: Any, path: Path) -> Iterator[Note]:
    if not is_list(value):
        yield Note("refused", path, why=f"{kind(value)} will not do; it should be a list")
        return
    yield Note("honoured", path, why="its entries have notes of their own")
    for position, item in enumerate(value):
        if is_section(item):
            yield from _section(row, item, (*path, position))
        else:
            why = f"{kind(item)} will not do; it should be a section with `key: value` lines"
            yield Note("refused", (*path, position), why=why)


def _section(row: Later, value: dict[str, Any], path: Path) -> Iterator[Note]:
    off = value.get("enabled") is False
    yield Note("honoured", path, why="is switched off") if off else _nothing(row, path, value)
    for name, item in value.items():
        here = (*path, name)
        if name not in row.keys:
            yield Note("refused", here, why=_unknown(name, row.keys, path))
        elif item is None or off:
            yield _checked(row.keys[name], item, here) or Note("honoured", here, why="is switched off")
        else:
            yield _checked(row.keys[name], item, here) or _nothing(row, here)


def _nothing(row: Later, path: Path, value: Any = None) -> Note:
    endpoint = value.get("endpoint") if is_section(value) else None
    old = (
        "; the endpoint is of an old Jaeger collector, which takes OTLP on 4317 and 4318"
        if isinstance(endpoint, str) and ":14268" in endpoint
        else ""
    )
    return Note("warned", path, why=f"without effect in this version: {row.why}{old}")


def _checked(annotation: Any, value: Any, path: Path) -> Note | None:
    """A refusal of a value of another type. What a variable will hold is not known: whoever sets it will be told."""
    if value is None or (isinstance(value, str) and "${" in value):
        return None
    right = not (isinstance(value, bool) and annotation is not bool)
    if right:
        try:
            TypeAdapter[Any](annotation).validate_python(value)
        except ValidationError:
            right = False
    return (
        None if right else Note("refused", path, why=f"{kind(value)} will not do; it should be {expected(annotation)}")
    )


def expected(annotation: Any) -> str:
    """A type in words."""
    words = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "text; put it in quotes if it looks like something else",
    }
    if annotation in words:
        return words[annotation]
    named: tuple[tuple[Any, str], ...] = (
        (Port, "a port from 0 to 65535"),
        (Host, "a host"),
        (Size, "a size; write it like 10MB"),
        (Duration, "a duration; write it like 30s, 5m or 1h30m"),
        (Driver, "sqlite, mysql or postgresql"),
    )
    return next((text for one, text in named if annotation == one), "a list of texts")


def _unknown(name: str, known: Mapping[str, Any], path: Path) -> str:
    near = difflib.get_close_matches(name.lower().replace("-", "_"), known, n=1, cutoff=0.6)
    hint = f"did you mean {dotted((*path, near[0]))}?" if near else f"{dotted(path)} may have {', '.join(known)}"
    return f"unknown option; {hint}"


def _paths(data: Any, path: Path) -> Iterator[Path]:
    """Every key."""
    entries = data.items() if is_section(data) else enumerate(data) if is_list(data) else ()
    for name, value in entries:
        if isinstance(name, str):
            yield (*path, name)
        yield from _paths(value, (*path, name))
