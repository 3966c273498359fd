"""The pages under docs/reference, written from the declarations they describe."""

import json
import re
from collections.abc import Iterator
from typing import Any

import click
import foreign
import routes

from moorage import errors
from moorage.cli.main import moorage
from moorage.config.load import KEY_VARIABLE
from moorage.config.options import Option, options
from moorage.config.schema import schema
from moorage.config.tree import Config
from moorage.telemetry import replicas
from moorage.telemetry.gateway import GatewayMetrics

_NOTE = "<!-- Written by scripts/check_docs.py --write from {source}. Change that, not this page. -->"


def pages() -> dict[str, str]:
    """File name under docs/reference → content."""
    return {
        "cli.md": cli(),
        "config.md": config(),
        "environment.md": foreign.variables(_NOTE.format(source="src/moorage/config/aliases.py")),
        "errors.md": error_page(),
        "foreign.md": foreign.formats(_NOTE.format(source="src/moorage/config/foreign")),
        "metrics.md": metrics(),
        "routes.md": routes.page(_NOTE.format(source="src/moorage/gateway/openapi and wire/api")),
    }


# Metrics


def metrics() -> str:
    counted = [
        (f"`{family.name}{'_total' if family.type == 'counter' else ''}`", family.type, family.documentation)
        for family in GatewayMetrics().registry.collect()
        if family.name.startswith("moorage_") and not family.name.endswith("_created")
    ]
    known = [(f"`{name}`", "gauge", text) for name, text in (replicas.REPLICA_GAUGES | replicas.ENGINE_GAUGES).items()]
    parts = [
        _NOTE.format(source="src/moorage/telemetry"),
        "# Metrics",
        "`GET /metrics` of any gateway answers for all gateways of the machine in Prometheus' text format: counters "
        "and histograms are summed over them, gauges carry a `process` label. `process_*` are the usual ones.",
        "## Calls",
        _table(("metric", "type", ""), counted),
        "## Replicas and their engines",
        "The same names for every engine. What an engine does not tell is left out, never 0.",
        _table(("metric", "type", ""), known),
    ]
    return "\n\n".join(parts) + "\n"


# The command line


def cli() -> str:
    parts = [
        _NOTE.format(source="the commands in src/moorage/cli"),
        "# Command line",
        *_command(moorage, "moorage", None),
    ]
    return "\n\n".join(parts) + "\n"


def _command(command: click.Command, name: str, parent: click.Context | None) -> Iterator[str]:
    context = click.Context(command, info_name=name.rpartition(" ")[2], parent=parent)
    if parent is not None:
        yield f"{'##' if name.count(' ') == 1 else '###'} {name}"
    yield f"```\n{command.get_usage(context).removeprefix('Usage: ')}\n```"
    yield _plain_help(command)
    if rows := list(_parameters(command, context)):
        yield _table(("option", ""), rows)
    if isinstance(command, click.Group):
        for sub in command.list_commands(context):
            found = command.get_command(context, sub)
            if found is not None:
                yield from _command(found, f"{name} {sub}", context)


def _plain_help(command: click.Command) -> str:
    text = re.sub(r"[ \t]*\n[ \t]*", "\n", (command.help or "").split("\f")[0]).replace("\b\n", "")
    return "\n\n".join(" ".join(paragraph.split("\n")) for paragraph in text.strip().split("\n\n"))


def _parameters(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and "--help" not in parameter.opts:
            yield f"`{record[0]}`", re.sub(r"\s{2,}", " ", record[1])


# The configuration


def config() -> str:
    intro = f"""# moorage.yaml

Flags win over environment variables, these over the file, the file over the defaults. A variable that is set to nothing
is as good as not set. The file is the one named by `-c`, else by `MOORAGE_CONFIG`, else `./moorage.yaml`.
`{KEY_VARIABLE}` (or `{KEY_VARIABLE}_FILE`, the path of a file that holds it) adds a key to `auth.keys`.

Texts may hold `${{VAR}}`, `${{VAR:-default}}` and `${{file:/run/secrets/NAME}}`; `$$` is a plain dollar sign. An unset
`${{VAR}}` is an error. For keys, `VAR_FILE` may stand for `VAR`. A `.env` file beside the configuration adds variables;
the real environment wins over it. Relative paths count from the folder the server is started in. Durations are written
like `30s`, `5m`, `1h30m`, sizes like `10MB`.

↻ marks options that are read only at start: a reload that changes one is refused whole."""
    parts = [_NOTE.format(source="src/moorage/config/tree.py and model.py"), intro]
    document = schema()
    top = [option for option in options(Config) if len(option.path) == 1 and option.section is None]
    for section in (option for option in options(Config) if option.section is not None):
        inside = [option for option in options(Config) if option.path[:-1] in (section.path, (*section.path, "*"))]
        definition = document["$defs"][section.section.__name__ if section.section else ""]
        parts += [f"## {section.name}", _first_line(definition["description"]), _options(inside, definition)]
    parts += ["## Folders", _options(top, document)]
    return "\n\n".join(parts) + "\n"


def _first_line(text: str) -> str:
    return text.strip().replace("\n", " ")


def _options(found: list[Option], definition: dict[str, Any]) -> str:
    rows: list[tuple[str, str, str, str]] = []
    for option in found:
        value = definition["properties"][option.path[-1]]
        about = _first_line(option.field.description or (f"See {option.name}." if option.section else ""))
        mark = " ↻" if option.restart else ""
        name, kinds = f"`{option.path[-1]}`{mark}", _kinds(value)
        rows.append((name, f"{about} {kinds}".strip(), _default(option), _variable(option)))
    return _table(("option", "", "default", "environment"), rows)


def _variable(option: Option) -> str:
    return f"`{option.environment}`" if option.environment else ""


def _default(option: Option) -> str:
    if option.field.is_required() and option.name != "auth.keys[].name":
        return "required"
    default = option.default
    return "" if default in (None, [], {}) else f"`{default if isinstance(default, str) else json.dumps(default)}`"


def _kinds(value: dict[str, Any]) -> str:
    """What may stand there, where the description cannot say it better: words to choose from, bounds."""
    for kind in value["anyOf"]:
        if "enum" in kind:
            return "One of " + ", ".join(f"`{word}`" for word in kind["enum"]) + "."
        if kind.get("type") == "integer" and {"minimum", "maximum"} <= set(kind):
            return f"{kind['minimum']} to {kind['maximum']}."
    return ""


# Errors


def error_page() -> str:
    tree = (errors.__doc__ or "").split("\n\n")
    rows = [
        (f"`{kind.code}`", str(kind.status), f"`{kind.kind}`", kind.__name__)
        for kind in _family(errors.MoorageError)
        if kind is not errors.MoorageError
    ]
    parts = [
        _NOTE.format(source="src/moorage/errors.py"),
        "# Errors",
        "Every refused or failed call is answered with OpenAI's error body, "
        '`{"error": {"message", "type", "param", "code"}}`. `message` says what happened and what to do; '
        "`code` is stable. Those with status 503 carry `Retry-After`.",
        _table(("code", "status", "type", "class"), rows),
        "```\n" + "\n".join(line.removeprefix("    ") for line in tree[1].splitlines()) + "\n```",
        tree[2].strip().replace("\n", " "),
    ]
    return "\n\n".join(parts) + "\n"


def _family(kind: type[errors.MoorageError]) -> Iterator[type[errors.MoorageError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _family(child)


def _table(columns: tuple[str, ...], rows: list[Any]) -> str:
    lines = [columns, tuple("---" for _ in columns), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines
    )
