"""`moorage plan`: what models would take, on which device, whether they fit, and what would make them fit."""

import os
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from moorage.cli.config import config_file_option
from moorage.cli.output import fail, json_option, print_json, print_table
from moorage.core.text import human

if TYPE_CHECKING:
    from moorage.config.load import Loaded
    from moorage.config.model import ModelSpec
    from moorage.serve.plan import Plan, Planned

COLUMNS = ("MODEL", "WEIGHTS", "KV CACHE", "BUFFERS", "PROCESS", "TOTAL", "FITS")


def _size(_: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    from moorage.config.units import Unfit, size_bytes

    if value is None:
        return None
    try:
        return size_bytes(value)
    except Unfit as error:
        raise click.BadParameter(f"{value!r} is not {error.expected}", param=parameter) from error


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@config_file_option
@click.option("--gpus", metavar="[N×]SIZE,…", help="As if the machine had these accelerators: 2x24GiB, or 24GiB,80GiB.")
@click.option(
    "--device-memory", metavar="SIZE", help="As if it had one accelerator of this size; short for --gpus SIZE."
)
@click.option("--memory", metavar="SIZE", callback=_size, help="As if it had this much memory of its own.")
@json_option
@click.pass_context
def plan(
    ctx: click.Context,
    models: tuple[str, ...],
    config_file: Path | None,
    gpus: str | None,
    device_memory: str | None,
    memory: int | None,
    as_json: bool,
) -> None:
    """Tell what models would take before anything starts.

    MODEL is a file or folder, a source as `moorage serve` takes it, or the name of a model of the configuration, whose
    options then count; without one, all models of the configuration. For each it says what weights, KV cache, buffers
    and the process take, on which device it would compute, whether it fits beside those before it, and which settings
    would make it fit. Only headers of files are read, and nothing is fetched: of a model that is not here nothing is
    known.

    For a machine that is not this one say --gpus and --memory. On one with accelerators vLLM and llama-server count as
    installed, and engines that models of the configuration name.

    Exit code 1: something does not fit.
    """
    from moorage.config.load import load
    from moorage.serve.equipment import equipped
    from moorage.serve.plan import cards, described, document
    from moorage.serve.plan import plan as make
    from moorage.serve.whereabouts import stored

    if gpus is not None and device_memory is not None:
        raise click.UsageError("--device-memory is short for --gpus with one of them: give one of the two")
    loaded = load(config_file)
    assert loaded.config.cache_dir is not None
    specs = _distinct([_spec(name, loaded) for name in models]) or list(loaded.config.models.local)
    if not specs:
        fail("the configuration has no models; name a file, a folder or a source")
    machine = equipped(loaded.config.cache_dir, os.environ)
    sizes = cards(gpus or device_memory or "") if gpus or device_memory else ()
    made_up = bool(sizes) or memory is not None
    if made_up:
        machine = described(machine, specs, memory_bytes=memory, cards_bytes=sizes)
    made = make(specs, machine, stored(loaded.config.cache_dir), made_up=made_up)
    if as_json:
        print_json(document(made))
    else:
        _show(made)
    if not made.fits:
        ctx.exit(1)


def _spec(name: str, loaded: "Loaded") -> "ModelSpec":
    """A model of the configuration by its name, else a source with nothing set."""
    from pydantic import ValidationError

    from moorage.cli.serve import named
    from moorage.config.model import ModelSpec

    for spec in loaded.config.models.local:
        if name in (spec.name, *spec.aliases):
            return spec
    if not name:
        fail("name a model: a file, a folder, a source, or a model of the configuration")
    if "/" not in name and ":" not in name and "=" not in name and not Path(name).expanduser().exists():
        known = ", ".join(spec.name for spec in loaded.config.models.local)
        fail(f"there is no file {name!r} here, and no model of that name in the configuration, which has {known}")
    try:
        return ModelSpec.model_validate(named(name))
    except ValidationError as error:
        fail(f"{name!r}: {error.errors()[0]['msg'].removeprefix('Value error, ')}: put it into the configuration")


def _distinct(specs: list["ModelSpec"]) -> list["ModelSpec"]:
    """The same source twice is two models."""
    seen = Counter[str]()
    for position, spec in enumerate(specs):
        seen[spec.name] += 1
        if seen[spec.name] > 1:
            specs[position] = spec.model_copy(update={"name": f"{spec.name}-{seen[spec.name]}"})
    return specs


def _show(made: "Plan") -> None:
    click.echo(_machine(made))
    click.echo()
    print_table(COLUMNS, [_row(model) for model in made.models])
    for model in made.models:
        lines = list(_notes(model))
        if lines:
            click.echo()
            click.echo("\n".join(map(_wrapped, lines)))
    click.echo()
    if made.together:
        click.echo("all of them fit together with these options, which moorage serve --fit sets:")
        for change in made.together:
            click.echo(f"  {change.model}: {_settings(change.options)}")
        click.echo()
    for room in made.rooms:
        if room.taken_bytes or room.name == "processor":
            where = "memory" if room.name == "processor" else room.name
            share = f"{human(room.taken_bytes)} of {human(room.has_bytes)}"
            click.echo(f"{where}: {share} taken by what fits")


def _wrapped(line: str) -> str:
    """On a terminal as wide as it is; elsewhere a line is one line, so that grep finds it."""
    if not sys.stdout.isatty():
        return line
    return textwrap.fill(line, shutil.get_terminal_size().columns, subsequent_indent="    ", break_long_words=False)


def _machine(made: "Plan") -> str:
    machine = made.machine
    name = "A machine with" if made.made_up else "This machine:"
    kinds = Counter((each.name, each.memory_bytes) for each in machine.devices)
    cards = [
        f"{count} accelerator{'s' if count > 1 else ''} of {human(size)}" + ("" if made.made_up else f" ({card})")
        for (card, size), count in kinds.items()
    ]
    return f"{name} {human(machine.memory_bytes)} of memory, {', '.join(cards) or 'no accelerator'}"


def _row(model: "Planned") -> tuple[str, ...]:
    memory = model.memory
    if memory is None:
        return (model.spec.name, *("-",) * 5, "elsewhere" if model.spec.url else "unknown" if model.absent else "no")
    parts = (memory.weights_bytes, memory.kv_bytes, memory.compute_bytes, memory.process_bytes)
    sizes = [human(size) if size else "-" for size in (*parts, sum(parts))]
    return (model.spec.name, *sizes, "yes" if model.fits else "no")


def _notes(model: "Planned") -> Iterator[str]:
    name = model.spec.name
    if model.absent is not None:
        yield f"{name}: {model.absent.how}, so nothing is known of its size"
        yield f"  moorage models pull '{model.absent.source}'"
        return
    if model.problem:
        yield f"{name}: {model.problem}"
    if model.sized is not None and model.sized.launch is not None:
        yield from _place(model)
    if model.savings:
        yield f"  would fit with {' or with '.join(_settings(change.options) for change in model.savings)}"
    elif model.memory is not None and not model.fits:
        yield "  no setting would make it fit: take a smaller or more strongly quantised one"


def _place(model: "Planned") -> Iterator[str]:
    """Where it computes and what it is asked to do there; of one that does not fit, where it would."""
    assert model.sized is not None
    assert model.sized.launch is not None
    assert model.memory is not None
    launch, memory = model.sized.launch, model.memory
    calls = f"{launch.capacity} calls at once" if launch.capacity > 1 else "one call at a time"
    length = f" of {launch.max_model_len} tokens" if launch.max_model_len else ""
    begin = f"{model.spec.name}:" if model.fits else "  where there is room for it:"
    yield f"{begin} {model.sized.engine} on {_where(model)}, {calls}{length}"
    if memory.devices:
        yield f"  and {human(memory.host_bytes)} of the machine's own memory"
    if memory.cache_bytes:
        yield f"  and up to {human(memory.cache_bytes)} for prompts it keeps"
    if model.spec.replicas > 1:
        yield f"  {model.spec.replicas} replicas, each so"


def _where(model: "Planned") -> str:
    assert model.sized is not None
    indices = [str(device.index) for hold in model.sized.holds for device in hold.devices]
    if not indices:
        return "the processor"
    return f"device {indices[0]}" if len(indices) == 1 else f"each of the devices {', '.join(indices)}"


def _settings(options: Mapping[str, object]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in options.items())
