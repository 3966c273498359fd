"""What commands print: data on stdout (tables, or JSON for programs), everything else on stderr."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from moorage.core.text import harmless
from moorage.errors import MoorageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

F = TypeVar("F", bound=Callable[..., Any])


@cache
def console() -> "Console":
    """The terminal on stdout."""
    from rich.console import Console

    return Console(highlight=False)


@cache
def err_console() -> "Console":
    """The terminal on stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def fail(message: str) -> NoReturn:
    """End the command: `moorage: MESSAGE` on stderr, exit code 1."""
    raise MoorageError(message)


def warn(message: str) -> None:
    click.echo(f"moorage: warning: {message}", err=True)


def json_option(command: F) -> F:
    """`--json`, as the argument `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(command)


def print_json(data: Any) -> None:
    """`data` as JSON, indented; one line where nobody reads along."""
    click.echo(json.dumps(data, indent=2 if sys.stdout.isatty() else None, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Aligned columns. On a terminal long cells wrap; elsewhere every row is one whole line, so that grep finds it."""
    cells = [[harmless(str(cell)).replace("\n", " ") for cell in row] for row in rows]
    if sys.stdout.isatty():
        from rich.text import Text

        table = new_table(columns)
        for row in cells:
            table.add_row(*(Text(cell) for cell in row))
        console().print(table)
        return
    lines = [list(columns), *cells]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def new_table(columns: Sequence[str]) -> "Table":
    """An empty table as commands draw them."""
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
