"""How xgrammar's EBNF writes texts and characters."""

from collections.abc import Iterable

Range = tuple[int, int]
"""Code points, both ends in it."""

LAST = 0x10FFFF
PLAIN: tuple[Range, ...] = ((0x20, 0x21), (0x23, 0x5B), (0x5D, 0xD7FF), (0xE000, LAST))
"""Characters that stand in a JSON string as they are."""
EMPTY = '""'


class Unfit(Exception):
    """A schema that cannot be kept here; the message says which part of it, and why."""


def quoted(text: str) -> str:
    """A text as EBNF writes it."""
    return '"' + "".join(_in_text(char) for char in text) + '"'


def in_class(ranges: Iterable[Range]) -> str:
    """A class of characters. Raises Unfit for an empty one."""
    found = "".join(_point(low) if low == high else f"{_point(low)}-{_point(high)}" for low, high in ranges)
    if not found:
        raise Unfit("no character fits a part of a pattern")
    return f"[{found}]"


def intersected(ranges: Iterable[Range], others: Iterable[Range]) -> list[Range]:
    others = list(others)
    found = [(max(low, first), min(high, last)) for low, high in ranges for first, last in others]
    return sorted((low, high) for low, high in found if low <= high)


def complement(ranges: Iterable[Range]) -> list[Range]:
    found: list[Range] = []
    begin = 0
    for low, high in sorted(ranges):
        if low > begin:
            found.append((begin, low - 1))
        begin = max(begin, high + 1)
    if begin <= LAST:
        found.append((begin, LAST))
    return found


def counted(expression: str, least: int, most: int | None) -> str:
    """`expression` so many times; it must be one term."""
    if (least, most) == (1, 1):
        return expression
    if most == 0:
        return EMPTY
    for sign, count in (("?", (0, 1)), ("*", (0, None)), ("+", (1, None))):
        if (least, most) == count:
            return expression + sign
    if most is None:
        return f"{expression}{{{least},}}"
    return f"{expression}{{{least}}}" if least == most else f"{expression}{{{least},{most}}}"


def either(alternatives: Iterable[str]) -> str:
    """One term."""
    found = list(dict.fromkeys(alternatives))
    return found[0] if len(found) == 1 else "(" + " | ".join(found) + ")"


def _in_text(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    return char if " " <= char <= "~" else _point(ord(char))


def _point(code: int) -> str:
    char = chr(code)
    if char.isascii() and char.isalnum():
        return char
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"
