"""The pages of docs/reference about what others' set-ups bring: their files, key by key, and their variables."""

from collections.abc import Iterator, Mapping
from typing import Any

from moorage.config.aliases import VARIABLES, Standing
from moorage.config.foreign import gateway
from moorage.config.foreign.formats import FORMATS
from moorage.config.foreign.mistralrs_json import KINDS
from moorage.config.foreign.rules import Rule, Rules
from moorage.config.foreign.vllm_sections import FIELDS, SECTIONS
from moorage.config.options import dotted

_STANDING: Mapping[Standing, str] = {
    "option": "sets",
    "read": "read where models are fetched:",
    "engines": "passed to engines:",
    "file": "for `${…}` in the file;",
    "later": "no effect in this version:",
    "never": "no effect:",
}


def formats(note: str) -> str:
    """docs/reference/foreign.md."""
    parts = [
        note,
        "# Foreign configuration files",
        "What becomes of each key. *nothing*: it has no effect, which is told at the start with the reason given here. "
        "Keys are found with `-` and with `_`.",
    ]
    for one in FORMATS:
        if one.foreign:
            title = one.title.removeprefix("the ").removeprefix("a ")
            parts += [f"## {title}", _table(("key", "becomes", ""), _rows(one.rules))]
            parts += _more(one.title)
    parts += [
        "## Options to come",
        "These options of a gateway's `config.yaml` are accepted in any `moorage.yaml`, their types are checked, and "
        "they have no effect in this version.",
        _table(("option", "type", ""), _later()),
    ]
    return "\n\n".join(parts) + "\n"


def variables(note: str) -> str:
    """docs/reference/environment.md."""
    rows = [
        (f"`{name}`", f"{_STANDING[known.standing]} {known.about}".replace("sets server.port", "sets `server.port`"))
        for name, known in VARIABLES.items()
    ]
    parts = [
        note,
        "# Environment variables of other set-ups",
        "Every option has a variable of its own, listed in [moorage.yaml](config.md). Those below are names that other "
        "programs use. A flag beats every variable, `MOORAGE_…` beats those below, and all of them beat the file. What "
        "one of them decides is told at the start and by `moorage config show --sources`; a value that makes no sense "
        "here is left out with a warning, since `PORT` or `LOG_LEVEL` may be set for another program.",
        _table(("variable", ""), rows),
    ]
    return "\n\n".join(parts) + "\n"


def _rows(rules: Rules, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    for name, rule in rules.items():
        if not isinstance(rule, Rule):
            yield from _rows(rule, f"{prefix}{name}{'[]' if name == 'models' else ''}.")
            continue
        becomes = f"`{rule.option}`" if rule.option else "*nothing*" if rule.kind == "warned" else ""
        yield f"`{prefix}{name}`", becomes, rule.why


def _more(title: str) -> list[str]:
    if "multi-model" in title:
        left = [f"`{name}`: {kind.left_out}." for name, kind in KINDS.items() if kind.left_out]
        served = ", ".join(f"`{name}`" for name, kind in KINDS.items() if not kind.left_out)
        return [f"Kinds that are served: {served}.", *("- " + line for line in left)]
    if "vllm_config" in title:
        renamed = ", ".join(f"`{field}` (`{flag}`)" for field, flag in FIELDS.items() if flag)
        return [
            f"`engine` holds {', '.join(f'`{name}`' for name in SECTIONS)}, whose fields are vLLM's flags of the same "
            f"name ({renamed}), listed next.",
        ]
    if "--config" in title:
        return ["Every other flag is passed to vLLM as it is, and the engine is vLLM then."]
    if "unified" in title:
        return ["A model may hold vLLM's flags too, listed below under vLLM's --config file."]
    return []


def _later() -> Iterator[tuple[str, str, str]]:
    for path, row in gateway.LATER.items():
        for key, annotation in row.keys.items():
            many = "[]" if row.many else ""
            name = f"{dotted(path)}{many}{f'.{key}' if key else ''}"
            yield f"`{name}`", gateway.expected(annotation).partition(";")[0], row.why


def _table(columns: tuple[str, ...], rows: Any) -> str:
    lines = [columns, tuple("---" for _ in columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
