"""What the code blocks of a page show, tried out without running any of it: configurations and command lines."""

import re
import shlex
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from moorage.cli.main import moorage
from moorage.config.load import load
from moorage.errors import MoorageError

CONFIGURATION = "# moorage.yaml"
"""The first line of a yaml block that is a whole configuration."""

_SHELLS = {"console", "bash", "sh", "shell"}
_FENCE = re.compile(r"^(?P<indent>[ ]*)(?P<fence>`{3,}|~{3,})[ ]*(?P<language>[\w+-]*)[^\n]*$")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)")
_SECRET_FILE = re.compile(r"\$\{file:[^}]*\}")
_BETWEEN = {"|", "||", "&&", ";", "&", "(", ")", "|&", ";;"}
_BEFORE = {"exec", "sudo", "nohup", "time", "env"}


@dataclass(frozen=True)
class Block:
    """A fenced block and the line its text begins on, from 1."""

    language: str
    line: int
    text: str


def blocks(text: str) -> Iterator[Block]:
    lines = iter(enumerate(text.splitlines(), start=1))
    for number, line in lines:
        opening = _FENCE.match(line)
        if opening is None:
            continue
        inside: list[str] = []
        for _, inner in lines:
            if inner.strip() == opening["fence"]:
                break
            inside.append(inner.removeprefix(opening["indent"]))
        yield Block(opening["language"], number + 1, "\n".join(inside))


def problems(block: Block) -> Iterator[tuple[int, str]]:
    """What is wrong in a block: line, and what."""
    if block.language in ("yaml", "yml") and block.text.startswith(CONFIGURATION):
        if found := _configuration_problem(block.text):
            yield block.line, found
    elif block.language in _SHELLS:
        for offset, command in _commands(block):
            for words in _calls(command):
                if found := command_problem(words):
                    yield block.line + offset, f"`moorage {' '.join(words)}`: {found}"


def _configuration_problem(text: str) -> str | None:
    """Why the loader refuses it, its variables and secrets being set to something."""
    environ = dict.fromkeys(_VARIABLE.findall(text), "1") | {"HOME": tempfile.gettempdir()}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "moorage.yaml")
        file.write_text(_SECRET_FILE.sub("secret", text), encoding="utf-8")
        try:
            loaded = load(file, environ=environ)
        except MoorageError as error:
            return error.message.replace(f"{folder}/", "")
    return "; ".join(loaded.warnings) or None


def _commands(block: Block) -> Iterator[tuple[int, str]]:
    """The command lines of a block, continued lines joined. In a console block they follow a `$ `."""
    console = block.language == "console"
    lines = iter(enumerate(block.text.splitlines()))
    for offset, line in lines:
        if console and not line.startswith("$ "):
            continue
        command = line.removeprefix("$ ") if console else line
        while command.endswith("\\"):
            command = command[:-1] + next(lines, (0, ""))[1].removeprefix("> ")
        yield offset, command


def _calls(command: str) -> Iterator[list[str]]:
    """The arguments of each call of moorage in a command line."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|&;()<>")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    try:
        words = list(lexer)
    except ValueError:
        return
    call: list[str] = []
    for word in [*words, ";"]:
        if word not in _BETWEEN:
            call.append(word)
            continue
        if found := _arguments(call):
            yield found[1:]
        call = []


def _arguments(call: list[str]) -> list[str]:
    """`moorage` and its arguments, if that is what is called; redirections and variables set for it left out."""
    while call and (call[0] in _BEFORE or re.fullmatch(r"[A-Za-z_]\w*=.*", call[0])):
        call = call[1:]
    if not call or call[0].rpartition("/")[2] != "moorage":
        return []
    end = next(
        (index for index, word in enumerate(call) if set(word) & set("<>") and set(word) <= set("<>&")), len(call)
    )
    # `2>file`: the number belongs to the redirection.
    return call[: end - 1] if end < len(call) and call[end - 1].isdigit() else call[:end]


def command_problem(words: list[str]) -> str | None:
    """Why the command line would be refused, or None. Files it names need not be there."""
    command: click.Command = moorage
    context: click.Context | None = None
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        context = click.Context(command, info_name=command.name, parent=context)
        try:
            _, found, words = command.resolve_command(context, words)
        except click.UsageError as error:
            return error.format_message()
        if found is None:
            return "no such command"
        command = found
    if {"--help", "-h", "--version"} & set(words):
        return None
    try:
        command.make_context(command.name, list(words), parent=context)
    except click.exceptions.NoArgsIsHelpError:
        return None
    except click.BadParameter as error:
        there = isinstance(error.param, click.Parameter) and isinstance(error.param.type, (click.Path, click.File))
        return None if there else error.format_message()
    except click.UsageError as error:
        return error.format_message()
    return None
