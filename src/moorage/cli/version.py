"""`moorage version`."""

import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

import click

from moorage import __version__
from moorage.cli.output import json_option, print_json
from moorage.engines.libraries import LIBRARIES


@click.command()
@json_option
def version(as_json: bool) -> None:
    """Show the versions of Moorage and its engines."""
    engines = {engine: _installed(library.package) for engine, library in LIBRARIES.items()}
    facts: dict[str, str] = {
        "moorage": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
    }
    if as_json:
        print_json({**facts, "engines": {name: found for name, found in engines.items() if found}})
        return
    for name, found in (facts | {name: found or "not installed" for name, found in engines.items()}).items():
        click.echo(f"{name:<14} {found}")


def _installed(package: str) -> str | None:
    """The package's version, without importing it."""
    try:
        return f"{package} {installed(package)}"
    except PackageNotFoundError:
        return None
