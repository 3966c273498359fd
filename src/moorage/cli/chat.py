"""`moorage chat`: talk to a model in the terminal, or ask it one thing."""

import asyncio
import contextlib
import importlib
import sys
from contextlib import aclosing
from typing import Any

import click

from moorage.cli import endpoint as at
from moorage.cli.conversation import Conversation
from moorage.core.text import harmless
from moorage.errors import MoorageError, NotFound

HELP = """\
/model [NAME]    switch to another model, or say which it is
/models          list the models
/system [TEXT]   set the system prompt, or clear it
/clear           forget what was said
/help            this list
/exit            leave (Ctrl-D)
Ctrl-C stops the answer; a second one leaves."""


@click.command()
@click.argument("model", required=False, default="")
@at.options
@click.option("-p", "--prompt", help="Ask this, print the answer, leave. Without it, stdin is asked when it is piped.")
@click.option("--system", default="", metavar="TEXT", help="System prompt.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="Longest answer, in tokens.")
@click.option("--temperature", type=click.FloatRange(min=0), help="0 is the likeliest words, 1 livelier.")
@click.option("--seed", type=int, help="The same seed gives the same answer.")
@click.option("--stream/--no-stream", default=True, help="Print words as they come, or the answer at its end.")
@click.option("--json", "as_json", is_flag=True, help="With a single prompt: print the server's reply as it is.")
def chat(
    model: str, url: str, api_key: str, prompt: str | None, system: str, stream: bool, as_json: bool, **sampling: Any
) -> None:
    """Chat with MODEL (the first one there is).

    In a terminal it is a conversation; /help lists what it understands. With -p, or with text piped in, it answers
    once: stdout then holds the answer and nothing else.
    """
    from moorage.http.client import Client

    where = at.endpoint(url, api_key)
    if prompt is None and not sys.stdin.isatty():
        prompt = sys.stdin.read()
    if prompt is not None and not prompt.strip():
        raise click.UsageError("the prompt is empty; give one by -p, or pipe it in")
    if prompt is None and as_json:
        raise click.UsageError("--json needs a single prompt: give -p, or pipe it in")
    wanted = {key: value for key, value in sampling.items() if value is not None}
    with asyncio.Runner() as runner:
        client = Client()
        talk = Conversation(client, where, model, system, wanted, stream and not as_json)
        try:
            with at.plainly(where):
                if prompt is not None:
                    runner.run(_once(talk, model, prompt, as_json=as_json))
                else:
                    runner.run(talk.choose(model))
                    _Terminal(talk, runner).run()
        finally:
            runner.run(client.close())


async def _once(talk: Conversation, model: str, prompt: str, *, as_json: bool) -> None:
    if not model:
        await talk.choose("")
    await _print(talk, prompt, quiet=as_json)
    if as_json:
        click.echo(talk.answer.body)
    elif sys.stdout.isatty():
        click.echo(_summary(talk), err=True)


async def _print(talk: Conversation, prompt: str, *, quiet: bool = False) -> None:
    """Write the answer to stdout as it comes, and end its last line."""
    plain = not sys.stdout.isatty()
    text = ""
    try:
        async with aclosing(talk.ask(prompt)) as pieces:
            async for text in pieces:
                if not quiet:
                    click.echo(text if plain else harmless(text), nl=False)
    finally:
        if not quiet and (talk.answer.text or text) and not text.endswith("\n"):
            click.echo()


class _Terminal:
    """The conversation at a terminal: one line, one answer."""

    def __init__(self, talk: Conversation, runner: asyncio.Runner) -> None:
        self._talk = talk
        self._runner = runner
        self._interrupted = False

    def run(self) -> None:
        with contextlib.suppress(ImportError):
            importlib.import_module("readline")  # gives input() its line editing and history
        click.secho(f"{self._talk.model} at {self._talk.endpoint.url}. /help lists commands, Ctrl-D leaves.", dim=True)
        while (line := self._line()) is not None:
            line = line.strip()
            try:
                if line.startswith("/"):
                    if self._command(line):
                        return
                elif line:
                    self._answer(line)
            except KeyboardInterrupt:
                self._interrupted = True
                click.secho("stopped", dim=True)
            except MoorageError as error:
                click.secho(error.message, fg="red", err=True)

    def _line(self) -> str | None:
        """What the user typed; None to leave."""
        try:
            line = input("> ")
        except EOFError:
            click.echo()
            return None
        except KeyboardInterrupt:
            click.echo()
            if self._interrupted:
                return None
            self._interrupted = True
            click.secho("Ctrl-C again or Ctrl-D leaves.", dim=True)
            return ""
        self._interrupted = False
        return line

    def _answer(self, line: str) -> None:
        self._runner.run(_print(self._talk, line))
        click.echo(_summary(self._talk))

    def _command(self, line: str) -> bool:
        """Do what a line with a slash says; True to leave."""
        word, _, rest = line.partition(" ")
        rest = rest.strip()
        talk = self._talk
        match word:
            case "/exit" | "/quit" | "/bye":
                return True
            case "/help" | "/?":
                click.echo(HELP)
            case "/clear":
                talk.messages.clear()
                click.secho("forgotten", dim=True)
            case "/system":
                talk.system = rest
                click.secho("system prompt set" if rest else "no system prompt", dim=True)
            case "/models":
                for name in self._runner.run(talk.models()):
                    click.echo(f"{'*' if name == talk.model else ' '} {name}")
            case "/model":
                if rest:
                    self._runner.run(talk.choose(rest))
                click.secho(f"talking to {talk.model}", dim=True)
            case _:
                raise NotFound(f"no command {word}; /help lists them")
        return False


def _summary(talk: Conversation) -> str:
    answer = talk.answer
    parts = [f"{answer.tokens} tokens"] if answer.tokens is not None else []
    if answer.tokens_per_s:
        parts.append(f"{answer.tokens_per_s:.1f} tokens/s")
    if answer.first_s is not None:
        parts.append(f"first after {answer.first_s:.2f} s")
    if answer.finish_reason == "length":
        parts.append("cut at its longest")
    return click.style(", ".join(parts), dim=True)
