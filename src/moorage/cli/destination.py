"""Where a command writes its result: stdout, or a file that is there only once it is whole."""

import os
import stat
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import click

from moorage.errors import MoorageError

Write = Callable[[str], None]


@contextmanager
def writing(output: str | None) -> Generator[Write]:
    """Writes to the file `output`, or to stdout for None. Raises MoorageError."""
    if output is None:
        yield lambda text: click.echo(text, nl=False)
        return
    path = Path(output)
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):  # /dev/null, a pipe
        with path.open("w", encoding="utf-8") as file:
            yield lambda text: _put(file.write, text)
        return
    try:
        handle, part = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise MoorageError(f"cannot write {output!r}: {error.strerror}") from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            yield lambda text: _put(file.write, text)
        _settle(Path(part), path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def _put(write: Callable[[str], int], text: str) -> None:
    write(text)


def _settle(part: Path, path: Path) -> None:
    """Give the file its name, with the rights any new file would have."""
    mask = os.umask(0)
    os.umask(mask)
    part.chmod(0o666 & ~mask)
    part.replace(path)
