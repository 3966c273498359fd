"""A recording on its way to a server: the form it is sent in, read from disk as it goes out."""

import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import click

from moorage.errors import MoorageError
from moorage.http.upload import Upload

STDIN = "-"
BLOCK_BYTES = 256 * 1024


@dataclass
class Recording:
    """An open file and how it is called."""

    name: str
    file: IO[bytes]
    size_bytes: int
    trouble: MoorageError | None = None
    """What kept it from being read to its end, for whoever learns only that sending failed."""

    def form(self, fields: Sequence[tuple[str, str]], on_sent: Callable[[int], None]) -> Upload:
        """The form with these fields and the recording in its part `file`. `on_sent` is told how many of its bytes
        have gone out."""
        boundary = f"moorage-{secrets.token_hex(16)}"
        head = b"".join(_field(boundary, name, text) for name, text in fields) + _begin(boundary, self.name)
        tail = f"\r\n--{boundary}--\r\n".encode()
        return Upload(
            content_type=f"multipart/form-data; boundary={boundary}",
            length_bytes=len(head) + self.size_bytes + len(tail),
            pieces=lambda: self._pieces(head, tail, on_sent),
        )

    async def _pieces(self, head: bytes, tail: bytes, on_sent: Callable[[int], None]) -> AsyncIterator[bytes]:
        self.file.seek(0)
        left = self.size_bytes
        yield head
        while left:
            block = self.file.read(min(BLOCK_BYTES, left))
            if not block:
                self.trouble = MoorageError(f"{self.name} became shorter while it was sent")
                raise self.trouble
            yield block
            left -= len(block)
            on_sent(self.size_bytes - left)
        yield tail


@contextmanager
def opened(place: str) -> Generator[Recording]:
    """The recording at a path, or on stdin for `-`. What is no file of a known size is taken in whole before.

    Raises MoorageError for one that is empty.
    """
    if place == STDIN and sys.stdin.isatty():
        raise click.UsageError("stdin is a terminal; pipe a recording in, or name a file")
    name = "stdin" if place == STDIN else Path(place).name
    stdin = place == STDIN
    with open(sys.stdin.fileno() if stdin else place, "rb", closefd=not stdin) as source, _sized(source) as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            raise MoorageError(f"{place if place != STDIN else name} is empty; name a recording")
        yield Recording(name, file, size)


@contextmanager
def _sized(source: IO[bytes]) -> Generator[IO[bytes]]:
    """`source` itself if it is a file at its start, else its content in a temporary one."""
    if stat.S_ISREG(os.fstat(source.fileno()).st_mode) and source.tell() == 0:
        yield source
        return
    with tempfile.TemporaryFile(prefix="moorage-") as copy:
        shutil.copyfileobj(source, copy)
        copy.flush()
        yield copy


def _field(boundary: str, name: str, text: str) -> bytes:
    return f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()


def _begin(boundary: str, name: str) -> bytes:
    """Where the file begins. Its name is written as browsers do (https://html.spec.whatwg.org, multipart form data)."""
    quoted = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    return (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{quoted}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode(errors="replace")
