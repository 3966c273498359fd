"""Texts a command is given: as arguments, as lines of files, as lines of stdin."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click

from moorage.core.text import human
from moorage.errors import MoorageError

STDIN = "-"
READ_BYTES = 64 * 1024
LINE_BYTES_MAX = 8 * 1024 * 1024

FILE = click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True)
"""The type of an option that names a file, or - for stdin."""


def batches(arguments: Sequence[str], files: Sequence[str], *, most: int, most_bytes: int) -> Iterator[list[str]]:
    """The texts in their order, in lists of at most `most` texts and about `most_bytes`.

    Arguments are texts (- reads stdin); files and stdin have one a line, blank lines are none. Without arguments and
    files stdin is read, if it is no terminal. What comes slowly is handed on as it comes. Raises MoorageError for what
    is no text.
    """
    if not arguments and not files:
        if sys.stdin.isatty():
            raise click.UsageError("nothing is given; name texts, a file by --file, or pipe lines in")
        arguments = (STDIN,)
    for group in _groups(arguments, files):
        batch: list[str] = []
        size = 0
        for text in group:
            if batch and (len(batch) >= most or size + len(text) > most_bytes):
                yield batch
                batch, size = [], 0
            batch.append(text)
            size += len(text)
        if batch:
            yield batch


def _groups(arguments: Sequence[str], files: Sequence[str]) -> Iterator[Iterable[str]]:
    """Texts that are there at the same time."""
    plain: list[str] = []
    for argument in arguments:
        if argument != STDIN:
            plain.append(argument)
            continue
        yield plain
        plain = []
        yield from _lines(sys.stdin.fileno(), "stdin")
    yield plain
    for file in files:
        if file == STDIN:
            yield from _lines(sys.stdin.fileno(), "stdin")
            continue
        with Path(file).open("rb", buffering=0) as opened:
            yield from _lines(opened.fileno(), file)


def _lines(descriptor: int, name: str) -> Iterator[list[str]]:
    """The lines, in groups as they arrive."""
    rest, number = b"", 0
    while chunk := os.read(descriptor, READ_BYTES):
        *whole, rest = (rest + chunk).split(b"\n")
        if len(rest) > LINE_BYTES_MAX:
            raise MoorageError(f"{name}, line {number + len(whole) + 1}: is longer than {human(LINE_BYTES_MAX)}")
        yield _texts(whole, name, number)
        number += len(whole)
    yield _texts([rest], name, number)


def _texts(lines: list[bytes], name: str, before: int) -> list[str]:
    found = (_text(line, name, number) for number, line in enumerate(lines, start=before + 1))
    return [text for text in found if text.strip()]


def _text(line: bytes, name: str, number: int) -> str:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        where = f"byte {error.start + 1} is 0x{line[error.start]:02x}"
        raise MoorageError(f"{name}, line {number}: is no text ({where}); texts are UTF-8, one a line") from error
    if "\0" in text:
        raise MoorageError(f"{name}, line {number}: is no text (it holds zero bytes); texts are UTF-8, one a line")
    return text.removeprefix("\ufeff").rstrip("\r")
