"""`moorage logs`: what engines write, from wherever they run."""

import asyncio
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from moorage.cli import endpoint as at
from moorage.core.text import harmless
from moorage.errors import MoorageError, NotFound

if TYPE_CHECKING:
    from moorage.http.client import Client

LINE_BYTES_MAX = 1 << 20
"""A longer line is shown in parts."""


@click.command()
@click.argument("name", required=False, metavar="[MODEL|REPLICA]")
@at.options
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written from now on, until Ctrl-C.")
@click.option("-n", "--tail", type=click.IntRange(min=0), default=100, show_default=True, help="Last lines to show.")
def logs(name: str | None, url: str, api_key: str, follow: bool, tail: int) -> None:
    """Show the log of a replica, of all replicas of a model, or of all there are.

    Where it is more than one, each line begins with its replica.
    """
    where = at.endpoint(url, api_key)
    at.run(_show(where, name, follow=follow, tail=tail), where)


async def _show(where: at.Endpoint, name: str | None, *, follow: bool, tail: int) -> None:
    from moorage.http.client import Client

    async with Client() as client:
        seen = await where.get(client, "/api/v1/status")
        replicas = chosen(seen, name)
        if len(replicas) == 1:
            await _copy(client, where, replicas[0], "", follow=follow, tail=tail)
            return
        width = max(map(len, replicas))
        copies = (_labelled(client, where, one, width, follow=follow, tail=tail) for one in replicas)
        if follow:
            outcomes = await asyncio.gather(*copies)
        else:
            outcomes = [await copy for copy in copies]
        if all(outcomes):
            raise NotFound("no replica has a log that can be read")


def chosen(seen: dict[str, Any], name: str | None) -> list[str]:
    """The ids of the replicas meant. Raises NotFound with what there is."""
    models: dict[str, list[str]] = {}
    for model in seen.get("models", []):
        ids: list[str] = [target["id"] for target in model["targets"]]
        for alias in (model["id"], *model.get("names", [])):
            models[alias] = ids
    every = list(dict.fromkeys(id for ids in models.values() for id in ids))
    if name is None:
        found = every
    elif name in every:
        found = [name]
    elif name in models:
        found = models[name]
    else:
        known = [model["id"] for model in seen.get("models", [])] + every
        raise NotFound(f"no model or replica {name!r}; there are: {', '.join(known) or 'none'}")
    if not found:
        raise NotFound(f"{name or 'the server'} has no replica, so there is no log")
    return found


async def _labelled(client: "Client", where: at.Endpoint, id: str, width: int, *, follow: bool, tail: int) -> bool:
    """Copy one of several logs; True where it could not be read, which keeps no other from being shown."""
    try:
        await _copy(client, where, id, f"{id.ljust(width)} | ", follow=follow, tail=tail)
    except MoorageError as error:
        click.echo(f"moorage: {id}: {error.message}", err=True)
        return True
    return False


async def _copy(client: "Client", where: at.Endpoint, id: str, label: str, *, follow: bool, tail: int) -> None:
    path = f"/api/v1/replicas/{quote(id, safe='')}/log?tail={tail}" + ("&follow=true" if follow else "")
    async with client.call(where.url, "GET", path, token=where.api_key) as reply:
        await at.check(reply)
        rest = b""
        async for chunk in reply.chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > LINE_BYTES_MAX:
                lines, rest = [*lines, rest], b""
            _write(lines, label)
        if rest:
            _write([rest], label)


def _write(lines: list[bytes], label: str) -> None:
    shown = (line.decode(errors="replace").rstrip("\r") for line in lines)
    text = "".join(f"{label}{line}\n" for line in shown)
    if text:
        click.echo(harmless(text) if sys.stdout.isatty() else text, nl=False)
