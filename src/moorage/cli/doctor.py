"""`moorage doctor`: what is in order on this machine, what is not, and what mends it."""

from pathlib import Path

import click

from moorage.cli.config import config_file_option
from moorage.cli.output import console, json_option, print_json


@click.command()
@config_file_option
@click.option("--offline", is_flag=True, help="Ask no server outside this machine.")
@json_option
@click.pass_context
def doctor(ctx: click.Context, config_file: Path | None, offline: bool, as_json: bool) -> None:
    """Examine this machine and the configuration.

    Python, processor, memory, disks, engines, model caches, network, containers, ports and the models of the
    configuration are looked at, which takes a few seconds and changes nothing. Every line that is not in order says
    what mends it. Secrets are masked.

    Exit code 1: there is a problem, Moorage cannot serve as it is asked to. Notes and warnings leave it at 0.
    """
    from moorage.serve.doctor.examination import examine
    from moorage.serve.doctor.findings import worst
    from moorage.serve.doctor.report import as_json as document
    from moorage.serve.doctor.report import show

    report = examine(config_file, offline=offline)
    if as_json:
        print_json(document(report))
    else:
        show(report, console())
    if worst(report.findings) == "problem":
        ctx.exit(1)
