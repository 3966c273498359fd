"""The flags a program tells of in its `--help`: argparse, click, typer, clap and llama.cpp each print their own way."""

import re
from collections.abc import Iterator

DEEPEST = 12
"""Columns before a line that defines flags; descriptions stand further right."""

_FRAME = str.maketrans(dict.fromkeys("│┃|╭╮╰╯─━*", " "))
_FLAG = re.compile(r"(?:^|(?<=[\s,/(]))(--?)(\[no-\])?([A-Za-z0-9][\w.-]*)")
_DESCRIPTION = re.compile(r"\s{2,}(?![-/\s<\[{]|[A-Z][A-Z0-9_]*(?:[\s,]|$))")
"""Two spaces, and then neither a flag nor the name of a value."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def flags(text: str) -> tuple[str, ...]:
    """Every flag that a line of its own defines, short ones and `--no-…` too, in order.

    Flags that are only spoken of, in a description or a line of usage, do not count: often they are gone ones.
    """
    return tuple(dict.fromkeys(flag for line in text.splitlines() for flag in _defined(line)))


def _defined(line: str) -> Iterator[str]:
    plain = _COLOURS.sub("", line).translate(_FRAME).rstrip()
    definition = plain.lstrip()
    if not definition.startswith("-") or len(plain) - len(definition) > DEEPEST:
        return
    for dashes, no, name in _FLAG.findall(_DESCRIPTION.split(definition, maxsplit=1)[0]):
        if dashes == "-" and name.isdigit():
            continue
        flag = f"{dashes}{name.rstrip('.-')}"
        yield flag
        if no:
            yield f"--no-{name}"
