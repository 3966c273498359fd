"""What an expression costs when its grammar is compiled, a time in which no other call gets a token.

xgrammar computes for every place where a character may stand which tokens of the vocabulary fit: 10 ms where almost any
character may, 2 ms for letters, hardly anything for digits or one character (measured with 49,152 tokens on a busy
core). Counts within counts multiply: `(((a{128}){128}){128}){128}` took 9 GB and did not end. Of parts that may be
left out, 200 in an object took 2 s and 400 took 15. A text is read at 10 µs a character.
"""

import re

ONE, LETTERS, ANY = 1, 32, 100
FEW, MANY = 16, 1000
"""A class of so few characters costs as little as one; one of so many is almost any."""
CHARS = 4
"""Of a grammar's text cost as much as one place."""
_CODE = r"\\u[0-9A-F]{4}|\\U[0-9A-F]{8}|\\x[0-9a-f]{2}|\\?."
_RANGE = re.compile(rf"({_CODE})(?:-({_CODE}))?")
_PART = re.compile(r'("(?:[^"\\]|\\.)*")|\[((?:[^\]\\]|\\.)*)\]|([()?*])|\{(\d+)(?:,(\d*))?\}')


def weight(expression: str) -> int:
    """Of an expression as `notation` writes them, its counts unrolled; the rules it names are not counted."""
    groups = [(0, 0)]
    places, optional = 0, 0  # of the last part
    for text, members, sign, least, most in _PART.findall(expression):
        if sign == "(":
            groups.append((0, 0))
            continue
        if sign == ")":
            places, optional = groups.pop()
            more = places, optional
        elif sign or least == "0":
            more = places * (max(int(most or 1), 1) - 1), 1
        elif least:
            count = max(int(least), int(most or 1)) - 1
            more = places * count, optional * count
        else:
            places, optional = ONE if text else _of_class(members), 0
            more = places, optional
        groups[-1] = groups[-1][0] + more[0], groups[-1][1] + more[1]
    return groups[0][0] + of_optional(groups[0][1])


def of_optional(parts: int) -> int:
    """Of parts behind each other that may each be left out."""
    return parts**3 // 250


def of_text(grammar: str) -> int:
    return len(grammar) // CHARS


def _of_class(members: str) -> int:
    if members.startswith("^"):
        return ANY
    chars = sum(_point(high or low) - _point(low) + 1 for low, high in _RANGE.findall(members))
    return ONE if chars <= FEW else LETTERS if chars < MANY else ANY


def _point(code: str) -> int:
    return ord(code[-1]) if len(code) <= 2 else int.from_bytes(bytes.fromhex(code[2:]))
