"""`moorage doctor`: what is in order on this machine or with one model, what is not, and what mends it."""

from pathlib import Path

import click

from moorage.cli.config import config_file_option
from moorage.cli.output import console, json_option, print_json


@click.command()
@click.argument("model", required=False)
@config_file_option
@click.option("--offline", is_flag=True, help="Ask no server outside this machine.")
@json_option
@click.pass_context
def doctor(ctx: click.Context, model: str | None, config_file: Path | None, offline: bool, as_json: bool) -> None:
    """Examine this machine and the configuration, or one MODEL.

    Python, processor, memory, disks, engines, model caches, network, containers, ports and the models of the
    configuration are looked at, which takes a few seconds and changes nothing. Every line that is not in order says
    what mends it. Secrets are masked.

    MODEL is a name of the configuration, a file, a folder or another source: are its files whole, which engine would
    run it and why, with which options, is there room for it, why did its last start fail, what is remembered of it,
    and what a running server says of it.

    Exit code 1: there is a problem, Moorage cannot serve as it is asked to; of a MODEL, its start would fail. Notes
    and warnings leave it at 0.
    """
    from moorage.serve.doctor.findings import worst
    from moorage.serve.doctor.report import as_json as document
    from moorage.serve.doctor.report import show

    if model is None:
        from moorage.serve.doctor.examination import examine

        report = examine(config_file, offline=offline)
    else:
        from moorage.serve.doctor.model.examination import examine as examine_model

        report = examine_model(_asked(model), config_file)
    if as_json:
        print_json(document(report))
    else:
        show(report, console())
    if worst(report.findings) == "problem":
        ctx.exit(1)


def _asked(model: str) -> dict[str, str]:
    """What was asked for, and as which source it could be read."""
    from moorage.cli.serve import named
    from moorage.errors import MoorageError

    if not model:
        raise click.UsageError("name a model: one of the configuration, a file, a folder or another source")
    try:
        return {"asked": model, **named(model)}
    except MoorageError:
        return {"asked": model}
