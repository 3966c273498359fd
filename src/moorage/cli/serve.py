"""`moorage serve`: one command from nothing to a model that answers."""

import re
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
@click.option("--fit", is_flag=True, help="Lower what nobody set until all models fit: calls, context, GPU shares.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="logging.level")
def serve(
    model: tuple[str, ...],
    config_file: Path | None,
    host: str | None,
    port: int | None,
    processes: int | None,
    log_level: str | None,
    fit: bool,
) -> None:
    """Serve models behind one OpenAI-compatible endpoint.

    MODEL is a file or folder, ORG/NAME of a hub, another source such as pypi:PACKAGE==VERSION#FILE, or NAME=SOURCE.
    Without one, the models of the configuration are served; without those, small ones that are fetched once: to chat
    (94 MB), to embed and rerank (92 MB), and with the extra `speech` to transcribe (78 MB).
    """
    from moorage.config.load import Loaded, load
    from moorage.serve.command import run
    from moorage.serve.fit.room import settled

    flags: dict[str, Any] = {
        "server.host": host,
        "server.port": port,
        "server.processes": processes,
        "logging.level": log_level,
        "models": [named(text) for text in model] or None,
    }

    def read() -> Loaded:
        return settled(load(config_file, flags=flags), fit=fit)

    run(read)


def named(text: str) -> dict[str, str]:
    """A model of the command line: `NAME=SOURCE`, or a source that names itself."""
    name, equals, source = text.partition("=")
    if equals and not name.startswith("pypi:") and "/" not in name and ":" not in name:
        return {"name": name, "source": source}
    return {"name": own_name(text), "source": text}


def own_name(text: str) -> str:
    """What a source is called where nobody names it: a hub's repository, else its file or folder."""
    from moorage.models.source import FileSource, HubSource, PackageSource, parse

    source = parse(text)
    if isinstance(source, HubSource):
        return source.repository
    name = source.path.resolve().name if isinstance(source, FileSource) else source.file_name
    stem = name.removesuffix(".gguf").removesuffix(".onnx")
    if stem == "model" and isinstance(source, PackageSource):
        stem = source.package
    plain = re.sub(r"[^A-Za-z0-9._+-]+", "-", stem).strip("-._+")
    return plain or "model"
