"""`moorage engine`: the engines of this machine that are programs."""

import asyncio
import os
import shlex
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from moorage.cli.config import config_file_option
from moorage.cli.output import err_console, fail, json_option, print_json, print_table, warn
from moorage.core.text import human

if TYPE_CHECKING:
    from moorage.environments.manifest import Manifest
    from moorage.environments.progress import Stage
    from moorage.environments.recipes import Variant
    from moorage.wire.control import Installation


@click.group()
def engine() -> None:
    """Install, list and remove engines that are programs.

    Each lives in an environment of its own, versions side by side; a model takes one by its `engine`: vllm, or
    vllm==0.32.0. Engines found on PATH are used as they are.
    """


@engine.command()
@click.argument("name", metavar="ENGINE[==VERSION]")
@click.option(
    "--from",
    "wheels",
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Take packages from this folder of wheels alone; no network is used.",
)
@click.option("--python", metavar="PROGRAM", default="", help="The Python to build with. Default: Moorage's own.")
@click.option("--variant", type=click.Choice(["cpu", "cuda"]), help="What it computes on. Default: what is here.")
@click.option("--index-url", metavar="URL", default="", help="The package index. Default: as pip's settings say.")
@click.option("--extra-index-url", metavar="URL", multiple=True, help="A further package index. May be repeated.")
@config_file_option
def install(
    name: str,
    wheels: Path | None,
    python: str,
    variant: "Variant | None",
    index_url: str,
    extra_index_url: tuple[str, ...],
    config_file: Path | None,
) -> None:
    """Install an engine into an environment of its own, and print its program.

    ENGINE is vllm, sglang, tensorrt-llm or transformers; without VERSION the one Moorage was tested with is taken.
    pip does it, with its settings of this machine: indexes, proxy, certificates. What is changed of the packages is
    said. An install that was cut off leaves nothing that counts; the next begins anew, with what pip has kept of its
    downloads.
    """
    from moorage.environments.building import Order
    from moorage.environments.store import EngineStore
    from moorage.environments.versions import named

    if wheels is not None and (index_url or extra_index_url):
        raise click.UsageError("--from takes packages from the folder alone; leave out the index, or --from")
    wanted, version = named(name)
    order = Order(
        engine=wanted,
        version=version,
        variant=variant or _variant(),
        wheels=wheels.absolute() if wheels else None,
        python=python,
        index_url=index_url,
        extra_index_urls=extra_index_url,
    )
    store = EngineStore(_cache_dir(config_file), os.environ)
    before = {(one.engine, one.version) for one in store.list()}
    with _progress() as show:
        made = asyncio.run(store.install(order, show))
    if (made.engine, made.version) in before:
        click.echo(f"{made.engine} {made.version} is installed already", err=True)
    else:
        _tell(made)
    click.echo(shlex.join(made.command))


@engine.command("list")
@config_file_option
@json_option
def list_(config_file: Path | None, as_json: bool) -> None:
    """List the engines that are here as programs: installed by Moorage, or on PATH."""
    from moorage.environments.discovery import Finder
    from moorage.environments.store import EngineStore

    cache_dir = _cache_dir(config_file)
    store = EngineStore(cache_dir, os.environ)
    made, halves = store.list(), store.halves()
    found = [one for one in Finder(cache_dir, os.environ).installations() if not one.managed]
    if as_json:
        print_json([*map(_managed, made), *map(_on_path, found)])
    elif made or found:
        rows = [
            (one.engine, one.version, one.variant, human(one.size_bytes), _proof(one.engine), one.home) for one in made
        ]
        rows += [(one.engine, one.version or "?", "", "", _proof(one.engine), one.command[0]) for one in found]
        print_table(("ENGINE", "VERSION", "FOR", "SIZE", "PROVEN", "WHERE"), rows)
    else:
        click.echo("no engines that are programs are here; moorage engine install vllm fetches one", err=True)
    for half in halves:
        named = f"{half.engine}=={half.version}"
        warn(
            f"{half.home} is half-made or no longer works: moorage engine install {named} makes it anew, "
            f"moorage engine remove {named} clears it away"
        )


@engine.command()
@click.argument("name", metavar="ENGINE[==VERSION]")
@click.option("--force", is_flag=True, help="Also if the configuration names it or something runs with it.")
@config_file_option
def remove(name: str, force: bool, config_file: Path | None) -> None:
    """Remove an engine that Moorage installed, with its environment."""
    from moorage.environments.store import EngineStore
    from moorage.environments.versions import named

    wanted, version = named(name)
    store = EngineStore(_cache_dir(config_file), os.environ)
    there = [one.version for one in store.list() if one.engine == wanted]
    meant = version or (there[0] if len(there) == 1 else None)
    pinned = _pinning(config_file, f"{wanted}=={meant}")
    if pinned and not force:
        fail(f"the configuration names {wanted}=={meant} for {', '.join(pinned)}; change it first, or --force")
    if meant in there and len(there) == 1 and (users := _pinning(config_file, wanted)):
        warn(f"it is the last {wanted} here, and the configuration names that engine for {', '.join(users)}")
    click.echo(f"removed {asyncio.run(store.remove(wanted, version, force=force))}")


def _cache_dir(config_file: Path | None) -> Path:
    """Where a server of this configuration looks."""
    from moorage.config.load import load
    from moorage.config.places import default_cache_dir

    return load(config_file).config.cache_dir or default_cache_dir()


def _variant() -> "Variant":
    from moorage.worker.machine import machine

    return "cuda" if any(device.kind == "cuda" for device in machine().devices) else "cpu"


def _pinning(config_file: Path | None, wanted: str) -> list[str]:
    """The models whose engine is named so."""
    from moorage.config.load import load

    return [spec.name for spec in load(config_file).config.models.local if spec.engine.replace(" ", "") == wanted]


def _tell(made: "Manifest") -> None:
    """What was installed, and what was done to it."""
    click.echo(
        f"{made.engine} {made.version} for {made.variant}: {len(made.packages)} packages, {human(made.size_bytes)}, "
        f"{made.seconds:.0f} s, from {made.source}",
        err=True,
    )
    for patch in made.patches:
        click.echo(f"  {patch.what}\n    {patch.why}", err=True)


def _proof(name: str) -> str:
    """The version it was proven with; `no` for an engine that never ran in our tests."""
    from moorage.engines.registry import ENGINES, load

    return (load(name).proven or "no") if name in ENGINES else "no"


def _managed(one: "Manifest") -> dict[str, Any]:
    from msgspec.structs import asdict

    patches = [asdict(patch) for patch in one.patches]
    told = asdict(one) | {"env": one.environment(), "patches": patches}
    return {"managed": True, "proven": _proof(one.engine), **told}


def _on_path(one: "Installation") -> dict[str, Any]:
    from msgspec.structs import asdict

    return {"proven": _proof(one.engine), **asdict(one)}


@contextmanager
def _progress() -> "Generator[Callable[[Stage], None]]":
    """Where stages are told: one live line on a terminal, else a line each, both on stderr."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(bar_width=24))
    with Progress(
        *columns, TextColumn("{task.fields[count]}"), TimeElapsedColumn(), console=err_console(), transient=True
    ) as bars:
        tasks: dict[str, Any] = {}

        def show(stage: "Stage") -> None:
            if stage.what not in tasks:  # a bar cannot lose a total that it has
                for before in tasks.values():
                    bars.remove_task(before)
                tasks.clear()
                tasks[stage.what] = bars.add_task(stage.what, total=None, count="")
            bars.update(tasks[stage.what], completed=stage.done, total=stage.total, count=_count(stage))

        yield show


def _count(stage: "Stage") -> str:
    if stage.unit == "bytes":
        return f"{human(stage.done)} of {human(stage.total)}" if stage.total else human(stage.done)
    if stage.total:
        return f"{stage.done} of {stage.total} packages"
    return f"{stage.done} packages" if stage.done else ""


class _Lines:
    """For logs: a line when a stage begins."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def __call__(self, stage: "Stage") -> None:
        if stage.what in self._told:
            return
        self._told.add(stage.what)
        size = ""
        if stage.total:
            size = f" ({human(stage.total)})" if stage.unit == "bytes" else f" {stage.total} packages"
        click.echo(f"{stage.what}{size}", err=True)
