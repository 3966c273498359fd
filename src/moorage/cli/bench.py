"""`moorage bench`: how fast a server answers, or which of two does."""

import asyncio
import json
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

import moorage
from moorage.cli import endpoint as at
from moorage.cli.output import err_console, fail, print_table, warn
from moorage.errors import UpstreamUnreachable
from moorage.serve.bench import Bench, Side, Workload
from moorage.serve.bench_report import Pairs, Row, SideReport, as_json, compare, of_side

if TYPE_CHECKING:
    from moorage.http.client import Client

BUSY_SHARE = 0.7
"""Above so much of a core, the generator itself may be what is measured."""


@click.command(context_settings={"show_default": True})
@click.option(
    "--url",
    "urls",
    multiple=True,
    envvar="MOORAGE_URL",
    metavar="URL",
    help=f"The server; give it twice to compare two.  [env: MOORAGE_URL; default: {at.DEFAULT_URL}]",
)
@click.option(
    "--api-key",
    "keys",
    multiple=True,
    envvar="MOORAGE_API_KEY",
    metavar="KEY",
    help="API key; given twice, one for each server.  [env: MOORAGE_API_KEY]",
)
@click.option("--model", "models", multiple=True, metavar="NAME", help="Model (the first one); twice, one for each.")
@click.option("-c", "--concurrency", type=click.IntRange(1, 10_000), default=1, help="Calls at once.")
@click.option("-n", "--requests", type=click.IntRange(1), default=16, help="Calls a round, at each server.")
@click.option("--rounds", type=click.IntRange(1), default=5, help="Rounds; two servers want 6 or more, better 15.")
@click.option("--warmup", type=click.IntRange(0), default=2, help="Calls before, not measured.")
@click.option("--prompt-tokens", type=click.IntRange(1), default=128, help="Length of the prompts.")
@click.option("--output-tokens", type=click.IntRange(1), default=64, help="Longest reply.")
@click.option(
    "--shared-prefix", "shared_prefix_tokens", type=click.IntRange(0), default=0, help="Tokens all prompts begin with."
)
@click.option("--stream/--no-stream", default=True, help="Streamed replies; without, only whole calls are timed.")
@click.option("--ignore-eos", is_flag=True, help="Ask for replies of exactly the length (vLLM, SGLang, llama.cpp).")
@click.option("--seed", type=int, default=0, help="Of the prompts and the sampling.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(1), default=300.0, help="Of a call, in seconds.")
@click.option(
    "--json",
    "json_file",
    type=click.File("w", lazy=True),
    metavar="FILE",
    help="Write everything as JSON; - is stdout.",
)
def bench(urls: tuple[str, ...], keys: tuple[str, ...], models: tuple[str, ...], json_file: Any, **load: Any) -> None:
    """Measure latency and throughput of a chat endpoint.

    Prompts are unlike from their first word on, so no prefix cache helps by accident; --shared-prefix lets it. With
    two servers (--url A --url B) the rounds alternate and B is compared with A in pairs. Ctrl-C reports what there is.

    The generator is one process and takes the time when a reply reaches it. It was measured to need 0.2 ms of
    processor time a call, and 5 to 25 µs a streamed token (95 µs where each one wakes it from sleep); the report warns
    when it used so much of a core that it may have measured itself.
    """
    from moorage.http.client import Client

    wheres = _wheres(urls, keys)
    if len(models) > len(wheres):
        raise click.BadParameter("more models than servers", param_hint="--model")
    with asyncio.Runner() as runner:
        client = Client()
        try:
            sides = runner.run(_sides(client, wheres, models))
            one = Bench(Workload(**load), sides)
            interrupted = _run(runner, one, client)
        except UpstreamUnreachable as error:
            raise UpstreamUnreachable(
                f"{error.message}; start a server with `moorage serve`, or name one by --url"
            ) from error
        finally:
            runner.run(client.close())
    if one.rounds:
        _report(one, json_file, interrupted=interrupted)
    if interrupted:
        raise click.exceptions.Exit(130)
    if all(sample.error for each in one.rounds for sample in each.samples):
        fail("no call succeeded")


def _wheres(urls: Sequence[str], keys: Sequence[str]) -> list[at.Endpoint]:
    urls = urls or (at.DEFAULT_URL,)
    if len(urls) > 2:
        raise click.BadParameter("at most two servers can be compared", param_hint="--url")
    if len(keys) > len(urls):
        raise click.BadParameter("more keys than servers", param_hint="--api-key")
    return [at.endpoint(url, _nth(keys, index) or "") for index, url in enumerate(urls)]


async def _sides(client: "Client", wheres: list[at.Endpoint], models: Sequence[str]) -> list[Side]:
    sides: list[Side] = []
    for index, where in enumerate(wheres):
        model = _nth(models, index)
        if model is None:
            names = await where.chat_models(client)
            if not names:
                fail(f"{where.url} has no model to chat with")
            model = names[0]
        sides.append(Side(url=where.url, model=model, api_key=where.api_key))
    return sides


def _nth(values: Sequence[str], index: int) -> str | None:
    """The value for a server: its own, or the only one given."""
    return values[min(index, len(values) - 1)] if values else None


def _run(runner: asyncio.Runner, one: Bench, client: "Client") -> bool:
    """True when the user broke it off."""
    try:
        with _progress(one.calls) as on_call:
            runner.run(one.run(client, on_call))
    except KeyboardInterrupt:
        return True
    return False


@contextmanager
def _progress(calls: int) -> Generator[Callable[[], None]]:
    """A bar on stderr, if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err_console(), transient=True) as bar:
        task = bar.add_task("calls", total=calls)
        yield lambda: bar.advance(task)


def _report(one: Bench, json_file: Any, *, interrupted: bool) -> None:
    if json_file:
        report = as_json(one, version=moorage.__version__, interrupted=interrupted)
        json_file.write(json.dumps(report, indent=2) + "\n")
    if json_file and json_file.name == "-":
        return
    for index in range(len(one.sides)):
        _show_side(one, index)
    if pairs := compare(one):
        click.echo("B against A, round by round")
        print_table(("MEASURE", "UNIT", "ROUNDS", "B − A", "95 % INTERVAL", "B ÷ A"), map(_pair, pairs))
        click.echo("Medians; the interval is at least 95 % of the median, by order statistics (sign test).")
    if interrupted:
        warn("interrupted: the last round is in the percentiles and in nothing else")


def _show_side(one: Bench, index: int) -> None:
    side, load = of_side(one, index), one.workload
    letter = f"{'AB'[index]}  " if len(one.sides) > 1 else ""
    click.echo(f"{letter}{side.url}  {side.model}")
    how = "streamed" if load.stream else "unary"
    click.echo(
        f"{side.calls} calls, {load.concurrency} at once, {how}; "
        f"prompt {_number(side.prompt_tokens)} tokens (asked for {load.prompt_tokens}), "
        f"reply {_number(side.output_tokens)} tokens (at most {load.output_tokens}); "
        f"errors {sum(side.errors.values())}"
    )
    print_table(("MEASURE", "UNIT", "P50", "P90", "P99", "OVER ROUNDS"), map(_row, side.rows))
    for message, count in side.errors.items():
        warn(f"{count} × {message}")
    _warn_of_the_generator(one, side)
    click.echo()


def _warn_of_the_generator(one: Bench, side: SideReport) -> None:
    if side.cpu_share is not None and side.cpu_share > BUSY_SHARE:
        warn(f"the generator took {side.cpu_share:.0%} of a core: it may be the bottleneck itself")
    if not one.prompt_is_calibrated:
        warn("the server does not tell how long prompts are; their length is a guess from the number of words")


def _row(row: Row) -> tuple[str, ...]:
    spread = "n/a" if row.lowest is None else f"{_number(row.lowest)} to {_number(row.highest)}"
    return (row.name, row.unit, _number(row.p50), _number(row.p90), _number(row.p99), spread)


def _pair(pairs: Pairs) -> tuple[str, ...]:
    interval = "n/a" if pairs.low is None else f"{_signed(pairs.low)} to {_signed(pairs.high)}"
    ratio = "n/a" if pairs.ratio is None else f"{pairs.ratio:.3f}"
    return (pairs.name, pairs.unit, str(pairs.rounds), _signed(pairs.difference), interval, ratio)


def _number(value: float | None) -> str:
    """Three digits or more; n/a for what was not measured."""
    if value is None:
        return "n/a"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _signed(value: float | None) -> str:
    text = _number(value)
    return f"+{text}" if value is not None and value > 0 else text
