"""Durations and sizes as people write them."""

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?i?b?)", re.IGNORECASE | re.ASCII)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_LONGEST_S = 1e9
_LARGEST_BYTES = 2**53


class Unfit(ValueError):
    """A value that is not what it should be. `expected` says what it should be without repeating the value."""

    def __init__(self, value: Any, expected: str) -> None:
        super().__init__(f"{value!r} is not {expected}")
        self.expected = expected


def seconds(value: Any) -> float:
    """`30s`, `1h30m`, `500ms`, or a number of seconds. Raises Unfit."""
    text = value.strip() if isinstance(value, str) else ""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        number = float(value) if abs(value) < _LONGEST_S else _LONGEST_S
    elif re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII):
        number = float(text)
    elif re.fullmatch(rf"({_DURATION.pattern})+", text, re.ASCII):
        number = sum(_part_s(float(amount), unit) for amount, unit in _DURATION.findall(text))
    else:
        raise Unfit(value, "a duration; write it like 30s, 5m, 1h30m or 500ms")
    if not 0 <= number < _LONGEST_S:
        raise Unfit(value, "a duration from 0 to 30 years; write it like 30s, 5m, 1h30m or 500ms")
    return number


def _part_s(amount: float, unit: str) -> float:
    # Divided, not multiplied by 0.001, which would make 700ms a little more than 0.7.
    return amount / 1000 if unit == "ms" else amount * _SECONDS[unit]


def size_bytes(value: Any) -> int:
    """`10MB`, `512KiB`, `1.5G`, or a number of bytes. KB, MB, … count in 1024 as model tools do. Raises Unfit."""
    expected = "a size; write it like 10MB, 512KiB or 2GB"
    if isinstance(value, int) and not isinstance(value, bool):
        number = float(min(max(value, -1), _LARGEST_BYTES))
    else:
        match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
        if match is None:
            raise Unfit(value, expected)
        unit = match[2].lower().removesuffix("b").removesuffix("i")
        number = float(match[1]) * 1024 ** _POWERS[unit]
    if not 0 <= number < _LARGEST_BYTES:
        raise Unfit(value, expected)
    return int(number)


def duration_text(value: float) -> str:
    """The shortest exact spelling: `5m`, `90s`, `500ms`."""
    for unit in ("d", "h", "m", "s"):
        if value >= _SECONDS[unit] and value % _SECONDS[unit] == 0:
            return f"{value / _SECONDS[unit]:.0f}{unit}"
    if 0 < value < 1 and round(value * 1000) / 1000 == value:
        return f"{value * 1000:.0f}ms"
    return f"{Decimal(repr(value)):f}s" if value else "0s"


def size_text(value: int) -> str:
    """The shortest exact spelling: `10MB`, `1536KB`, `100` (bytes)."""
    for unit, power in (("TB", 4), ("GB", 3), ("MB", 2), ("KB", 1)):
        if value and value % 1024**power == 0:
            return f"{value // 1024**power}{unit}"
    return str(value)


Duration = Annotated[
    float,
    BeforeValidator(seconds),
    PlainSerializer(duration_text, return_type=str),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}], "examples": ["30s", "5m"]}),
]
"""Seconds."""

Size = Annotated[
    int,
    BeforeValidator(size_bytes),
    PlainSerializer(size_text, return_type=str),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}], "examples": ["10MB"]}),
]
"""Bytes."""
