"""`moorage config`: check, show, import and describe the configuration."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from moorage.cli.output import fail, json_option, print_json, warn

if TYPE_CHECKING:
    from moorage.config.load import Loaded

F = TypeVar("F", bound=Callable[..., Any])


def config_file_option(command: F) -> F:
    """`-c/--config FILE`, as the argument `config_file`."""
    return click.option(
        "-c",
        "--config",
        "config_file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="The configuration. Default: $MOORAGE_CONFIG, else ./moorage.yaml, else built-in values.",
    )(command)


@click.group()
def config() -> None:
    """Check, show and import configurations."""


@config.command()
@config_file_option
def check(config_file: Path | None) -> None:
    """Say everything that is wrong with the configuration, and start nothing.

    Exit code 0: it would be used; 1: it would be refused.
    """
    from moorage.config.load import load
    from moorage.config.tree import access_problem

    loaded = load(config_file)
    _tell(loaded)
    problems = [*_source_problems(loaded), *_engine_problems(loaded)]
    if problem := access_problem(loaded.config):
        problems.insert(0, problem)
    if problems:
        fail("\n  ".join([f"{len(problems)} problems:", *problems]) if len(problems) > 1 else problems[0])
    count = len(loaded.config.models.local)
    click.echo(f"{loaded.path or 'no file, built-in values'}: ok, {count} model{'' if count == 1 else 's'}")


def _tell(loaded: "Loaded") -> None:
    for notice in loaded.notices:
        click.echo(f"moorage: {notice}", err=True)
    for warning in loaded.warnings:
        warn(warning)


def _source_problems(loaded: "Loaded") -> list[str]:
    """What is wrong with the models' sources, as far as it shows without fetching any."""
    from moorage.errors import ModelError
    from moorage.models.source import FileSource, parse

    problems: list[str] = []
    for position, model in enumerate(loaded.config.models.local):
        if model.url is not None:
            continue
        option = f"models.local[{position}].source"
        where = f"{loaded.sources[option]}: {option}" if option in loaded.sources else option
        try:
            source = parse(model.source)
        except ModelError as error:
            problems.append(f"{where}: {error.message}")
            continue
        if isinstance(source, FileSource) and not source.path.exists():
            warn(f"{where}: there is no file {source.path} yet")
    return problems


def _engine_problems(loaded: "Loaded") -> list[str]:
    """Engines there are none of, and versions that are none. An adapter of somebody's own is code, and not loaded."""
    from moorage.engines.choose import pinned
    from moorage.engines.registry import load
    from moorage.environments.recipes import RECIPES
    from moorage.environments.versions import named
    from moorage.errors import EngineError

    problems: list[str] = []
    for position, model in enumerate(loaded.config.models.local):
        engine, _ = pinned(model.engine)
        if model.url is not None or engine == "auto" or ":" in engine:
            continue
        option = f"models.local[{position}].engine"
        try:
            load(engine)
            if engine in RECIPES:
                named(model.engine)
        except EngineError as error:
            problems.append(f"{loaded.sources.get(option, 'models')}: {option}: {error.message}")
    return problems


@config.command()
@config_file_option
@click.option("--sources", is_flag=True, help="List only what is set, and where, one option a line.")
@json_option
def show(config_file: Path | None, sources: bool, as_json: bool) -> None:
    """Print the whole configuration as it would be used, keys masked.

    Values that are no defaults say where they were set.
    """
    from moorage.cli.effective import as_yaml, masked
    from moorage.config.load import load

    loaded = load(config_file)
    _tell(loaded)
    if sources:
        if as_json:
            print_json(dict(loaded.sources))
            return
        for option, source in loaded.sources.items():
            click.echo(f"{option}  {source}")
    elif as_json:
        print_json(masked(loaded))
    else:
        click.echo(as_yaml(loaded), nl=False)


@config.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write it there; keeps a file that exists.",
)
@click.option("--force", is_flag=True, help="Overwrite the file that exists.")
def import_(file: Path, output: Path | None, force: bool) -> None:
    """Turn the configuration of another program into a moorage.yaml, and print it.

    FILE is a models.json of the unified service, mistral.rs's multi-model JSON or TOML, a model-deploy-config.yaml, a
    vllm_config.yaml, vLLM's own --config YAML, or a gateway's config.yaml. Keys that have no effect are named with the
    reason. Such a file can also be used as it is: `moorage serve -c FILE`.
    """
    from moorage.config.foreign.writing import as_yaml
    from moorage.config.load import load

    loaded = load(file)
    for warning in loaded.warnings:
        warn(warning)
    assert loaded.converted is not None
    text = as_yaml(loaded.converted, loaded.said, file.name, loaded.format.title)
    if output is None:
        click.echo(text, nl=False)
        return
    _write(output, text, force=force)
    click.echo(f"{output}: written, {len(loaded.config.models.local)} models; try it: moorage config check -c {output}")


def _write(path: Path, text: str, *, force: bool) -> None:
    """Whole or not at all, and for this user only: keys of the other file are in it."""
    import os
    import tempfile

    if os.path.lexists(path) and not force:
        fail(f"{path} exists; name another file, or say --force to overwrite it")
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise


@config.command()
def schema() -> None:
    """Print the JSON schema of moorage.yaml, for editors."""
    import json

    from moorage.config.schema import schema as schema_document

    click.echo(json.dumps(schema_document(), indent=2, ensure_ascii=False))
