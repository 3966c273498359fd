"""`moorage models show`: what a model's files say about it, and which engines here can run it."""

import dataclasses
import os
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from moorage.cli.output import console, fail, json_option, print_json
from moorage.core.text import harmless, human

if TYPE_CHECKING:
    from moorage.core.facts import ModelFacts

_LABEL_WIDTH = 16
_SHOWN_NAMES = 12


@dataclasses.dataclass(frozen=True)
class _Verdict:
    """What one engine says of the model."""

    engine: str
    ok: bool
    chosen: bool
    """Whether `engine: auto` takes it."""
    why: str


@click.command()
@click.argument("model")
@json_option
def show(model: str, as_json: bool) -> None:
    """Show what a model's files say about it, and which engines here can run it.

    MODEL is a file, a folder, or a name, file name or source that `moorage models list` shows. Only headers are read.
    """
    from moorage.models.files import facts

    found = facts(_located(model))
    verdicts = _verdicts(found)
    if as_json:
        print_json({**dataclasses.asdict(found), "engines": [dataclasses.asdict(verdict) for verdict in verdicts]})
        return
    _print([*_rows(found), *_engine_rows(verdicts)])


def _located(name: str) -> Path:
    """A path as it is; else what the store has under the name."""
    if not name:
        fail("name a model: a file, a folder, or a name that moorage models list shows")
    path = Path(name).expanduser()
    if path.exists():
        return path
    from moorage.config.defaults import default_models
    from moorage.config.places import default_cache_dir
    from moorage.models.store import ModelStore

    source = next((spec.source for spec in default_models() if name in (spec.name, *spec.aliases)), name)
    found = [e for e in ModelStore(default_cache_dir()).list() if source in (e.name, e.path.name, e.source)]
    if len(found) > 1:
        fail(f"{name!r} is several models: {', '.join(entry.name for entry in found)}; name one")
    if found and not found[0].complete:
        fail(f"{name!r} is half-fetched; moorage models pull '{found[0].source}' fetches the rest")
    if not found and source != name:
        fail(f"{name!r} is not on this machine yet; moorage models pull '{source}' fetches it")
    if not found and "/" not in name:
        fail(f"there is no file {name!r} here, and no model of that name in the store; moorage models list shows those")
    return found[0].path if found else path


def _verdicts(facts: "ModelFacts") -> list[_Verdict]:
    from moorage.config.places import default_cache_dir
    from moorage.engines.choose import best_of
    from moorage.engines.registry import registered
    from moorage.errors import EngineError
    from moorage.serve.equipment import equipped

    here = equipped(default_cache_dir(), os.environ)
    try:
        chosen = best_of(registered(), facts.path, facts, here).engine.name
    except EngineError:
        chosen = None
    asked = [(engine.name, engine.supports(facts, here)) for engine in registered()]
    found = [_Verdict(name, support.ok, name == chosen, support.why) for name, support in asked]
    return sorted(found, key=lambda verdict: (not verdict.chosen, not verdict.ok))


def _rows(facts: "ModelFacts") -> Generator[tuple[str, str]]:
    """Label and value of everything that is known, in the words of people."""
    count = len(facts.weights)
    several = f" in {count} files" if count > 1 else ""
    yield "path", facts.path
    yield "format", facts.format
    yield "task", facts.task
    yield "architecture", facts.architecture
    if facts.name:
        yield "name", facts.name
    yield "size", f"{human(facts.size_bytes)} ({facts.size_bytes} bytes){several}"
    if facts.parameters is not None:
        yield "parameters", _counted(facts.parameters)
    if facts.quantization:
        yield "quantization", facts.quantization
    if facts.context_length:
        yield "context length", f"{facts.context_length} tokens"
    yield from _sizes(facts)
    if facts.pooling:
        yield "pooling", facts.pooling
    if facts.labels:
        yield "labels", _listed(facts.labels)
    if facts.languages:
        yield "languages", _listed(facts.languages)
    if facts.task == "generate" or facts.chat_template:
        yield "chat template", f"yes ({len(facts.chat_template)} characters)" if facts.chat_template else "none"


def _sizes(facts: "ModelFacts") -> Generator[tuple[str, str]]:
    if facts.layers is not None:
        yield "layers", str(facts.layers)
    if facts.heads is not None:
        shared = facts.kv_heads is not None and facts.kv_heads != facts.heads
        yield "heads", f"{facts.heads} ({facts.kv_heads} for keys and values)" if shared else str(facts.heads)
    if facts.embedding_length is not None:
        yield "embedding length", str(facts.embedding_length)
    if facts.vocabulary is not None:
        yield "vocabulary", f"{facts.vocabulary} tokens"


def _engine_rows(verdicts: Sequence[_Verdict]) -> Generator[tuple[str, str]]:
    for verdict in verdicts:
        label = "runs on" if verdict.chosen else "also runs on" if verdict.ok else "not on"
        yield label, f"{verdict.engine}: {verdict.why}"


def _counted(parameters: int) -> str:
    """`135 million`, `7.24 billion`."""
    for unit, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if parameters >= unit:
            return f"{parameters / unit:.3g} {word}"
    return str(parameters)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN_NAMES])
    return f"{shown}, … ({len(names)} in all)" if len(names) > _SHOWN_NAMES else shown


def _print(rows: Sequence[tuple[str, str]]) -> None:
    """Two columns. On a terminal long values wrap beside their label; elsewhere a row is one line."""
    harmless_rows = [(label, harmless(value).replace("\n", " ")) for label, value in rows]
    if not sys.stdout.isatty():
        for label, value in harmless_rows:
            click.echo(f"{label:<{_LABEL_WIDTH}} {value}")
        return
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in harmless_rows:
        table.add_row(label, Text(value))
    console().print(table)
