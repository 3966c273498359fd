"""Durations and sizes as people write them."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?i?b?)", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def seconds(value: Any) -> float:
    """`30s`, `1h30m`, `500ms`, or a number of seconds."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        number = float(value)
    elif isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?", value.strip()):
        number = float(value)
    elif isinstance(value, str) and re.fullmatch(rf"({_DURATION.pattern})+", value.strip()):
        number = sum(float(amount) * _SECONDS[unit] for amount, unit in _DURATION.findall(value))
    else:
        raise ValueError(f"{value!r} is not a duration; write it like 30s, 5m, 1h30m or 500ms")
    if not 0 <= number < 1e9:
        raise ValueError(f"{value!r} is not a duration from 0 to 30 years")
    return number


def size_bytes(value: Any) -> int:
    """`10MB`, `512KiB`, `1.5G`, or a number of bytes. KB, MB, … count in 1024 as model tools do."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is not a size; write it like 10MB, 512KiB or 2GB")
    unit = match[2].lower().removesuffix("b").removesuffix("i")
    return int(float(match[1]) * 1024 ** _POWERS[unit])


Duration = Annotated[
    float,
    BeforeValidator(seconds),
    PlainSerializer(lambda value: f"{value:g}s", return_type=str),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}], "examples": ["30s", "5m"]}),
]
"""Seconds."""

Size = Annotated[
    int,
    BeforeValidator(size_bytes),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}], "examples": ["10MB"]}),
]
"""Bytes."""
