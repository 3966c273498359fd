"""The command line: one table of commands, loaded when they are run, and the one place where errors become messages."""

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple, TextIO

import click

from moorage import __version__
from moorage.errors import MoorageError

INTERRUPTED = 130
"""What shells expect of a command ended by Ctrl-C."""


class Entry(NamedTuple):
    """A command that is not imported until it is run."""

    place: str
    help: str


COMMANDS = {
    "serve": Entry("moorage.cli.serve:serve", "Serve models behind an OpenAI-compatible endpoint."),
    "chat": Entry("moorage.cli.chat:chat", "Talk with a model in the terminal."),
    "embed": Entry("moorage.cli.embed:embed", "Turn texts into vectors."),
    "rerank": Entry("moorage.cli.rerank:rerank", "Rank documents by how well they answer a query."),
    "transcribe": Entry("moorage.cli.transcribe:transcribe", "Turn speech into text."),
    "models": Entry("moorage.cli.models:models", "Pull, list, verify and remove model files."),
    "engine": Entry("moorage.cli.engine:engine", "Install, list and remove engines such as vLLM."),
    "plan": Entry("moorage.cli.plan:plan", "Tell what models would take, and what would make them fit."),
    "status": Entry("moorage.cli.status:status", "Show what a running server does."),
    "logs": Entry("moorage.cli.logs:logs", "Show the logs of the engines."),
    "doctor": Entry("moorage.cli.doctor:doctor", "Examine this machine: what is not in order, and what mends it."),
    "config": Entry("moorage.cli.config:config", "Check, show and import configurations."),
    "bench": Entry("moorage.cli.bench:bench", "Measure latency and throughput of an endpoint."),
    "version": Entry("moorage.cli.version:version", "Show the versions of Moorage and its engines."),
}


class Commands(click.Group):
    """A group whose help needs only the table, so that it comes at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, _, name = entry.place.partition(":")
        return getattr(importlib.import_module(module), name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.exceptions.NoSuchCommand(args[0], possibilities=COMMANDS, ctx=ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="moorage", message="%(prog)s %(version)s")
def moorage() -> None:
    """A place to moor your models: one command from nothing to a model behind an OpenAI-compatible endpoint.

    `moorage serve` starts a small real model; `moorage COMMAND --help` tells more.
    """


def main(args: Sequence[str] | None = None) -> int:
    """Run a command and answer with the exit code: 0 done, 1 failed, 2 misused, 130 interrupted.

    A reader that closes the pipe early ends the command quietly; output that cannot be written is a failure.
    """
    code = _run(args)
    output: TextIO | None = sys.stdout
    if output is None:  # started with >&-
        return code
    try:
        output.flush()
    except OSError as error:
        # The interpreter flushes once more when it ends: let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())
        if error.errno != errno.EPIPE:
            click.echo(f"moorage: cannot write the output: {error.strerror}", err=True)
        return 1
    return code


def _run(args: Sequence[str] | None) -> int:
    try:
        result = moorage.main(args, prog_name="moorage", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except (MoorageError, OSError) as error:
        click.echo(f"moorage: {error}", err=True)
        return 1
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    sys.exit(main())
