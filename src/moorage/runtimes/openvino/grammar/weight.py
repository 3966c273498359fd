"""What an expression costs when its grammar is compiled, a time in which no other call gets a token.

xgrammar computes for every place where a character may stand which tokens of the vocabulary fit: 10 ms where almost any
character may, 1 ms for letters, hardly anything for digits or one character (measured with 49,152 tokens on a busy
core). Counts within counts multiply: `(((a{128}){128}){128}){128}` took 9 GB and did not end.
"""

import re

ONE, LETTERS, ANY = 1, 16, 100
FEW, MANY = 16, 1000
"""A class of so few characters costs as little as one; one of so many is almost any."""
_CODE = r"\\u[0-9A-F]{4}|\\U[0-9A-F]{8}|\\x[0-9a-f]{2}|\\?."
_RANGE = re.compile(rf"({_CODE})(?:-({_CODE}))?")
_PART = re.compile(r'("(?:[^"\\]|\\.)*")|\[((?:[^\]\\]|\\.)*)\]|([()])|\{(\d+)(?:,(\d*))?\}')


def weight(expression: str) -> int:
    """Of an expression as `notation` writes them, its counts unrolled; the rules it names are not counted."""
    groups = [0]
    last = 0
    for text, members, sign, least, most in _PART.findall(expression):
        if sign == "(":
            groups.append(0)
        elif least:
            groups[-1] += last * (max(int(least), int(most or 1)) - 1)
        else:
            last = groups.pop() if sign else ONE if text else _of_class(members)
            groups[-1] += last
    return groups[0]


def _of_class(members: str) -> int:
    if members.startswith("^"):
        return ANY
    chars = sum(_point(high or low) - _point(low) + 1 for low, high in _RANGE.findall(members))
    return ONE if chars <= FEW else LETTERS if chars < MANY else ANY


def _point(code: str) -> int:
    return ord(code[-1]) if len(code) <= 2 else int.from_bytes(bytes.fromhex(code[2:]))
