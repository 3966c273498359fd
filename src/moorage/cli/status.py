"""`moorage status`: what a running server does, now or live."""

import asyncio
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from moorage.cli import endpoint as at
from moorage.cli.output import console, json_option, new_table, print_json, print_table, warn
from moorage.core.text import age, harmless, human
from moorage.errors import MoorageError
from moorage.http.refusal import Refused

if TYPE_CHECKING:
    from rich.console import Group

    from moorage.http.client import Client

Row = Mapping[str, Any]

COLUMNS = ("MODEL", "TASK", "REPLICA", "STATE", "FOR", "ENGINE", "LOAD", "REASON")
_STATE = COLUMNS.index("STATE")
COLOURS = {"ready": "green", "failed": "red", "unreachable": "red", "stopped": "dim"}
EVERY_S = 1.0


@click.command()
@at.options
@json_option
@click.option("-w", "--watch", is_flag=True, help="Go on showing it, once a second, until Ctrl-C.")
def status(url: str, api_key: str, as_json: bool, watch: bool) -> None:
    """Show models, replicas with state and load, workers and gateways of a running server."""
    where = at.endpoint(url, api_key)
    if watch and as_json:
        raise click.UsageError("--watch draws on a terminal; with --json, ask again and again instead")
    if watch and not sys.stdout.isatty():
        raise click.UsageError("--watch needs a terminal")
    if watch:
        at.run(_watch(where), where)
        return
    seen = at.run(_once(where), where)
    if as_json:
        print_json(seen)
        return
    if note := seen.get("note"):
        warn(note)
    click.echo(headline(seen, where))
    print_table(COLUMNS, rows(seen, time.time()))
    for line in machinery(seen):
        click.echo(line)


async def _once(where: at.Endpoint) -> dict[str, Any]:
    from moorage.http.client import Client

    async with Client() as client:
        return await look(client, where)


async def look(client: "Client", where: at.Endpoint) -> dict[str, Any]:
    """`/api/v1/status`; while its controller is away, what the gateway itself knows, with a note that says so."""
    try:
        return await where.get(client, "/api/v1/status")
    except Refused as refused:
        if refused.answered not in (502, 503, 504):
            raise
        note = f"only what the gateway knows: {refused.message}"
    health = await where.get(client, "/health")
    models: list[dict[str, Any]] = [
        {"id": name, "state": model.get("state", "?"), "targets": [], "reason": model.get("reason", "")}
        for name, model in health.get("models", {}).items()
    ]
    return {"models": models, "note": note}


async def _watch(where: at.Endpoint) -> None:
    from rich.live import Live

    from moorage.http.client import Client

    async with Client() as client:
        seen = await look(client, where)
        with Live(_picture(seen, where, ""), console=console(), screen=True, auto_refresh=False) as live:
            while True:
                trouble = ""
                try:
                    seen = await look(client, where)
                except MoorageError as error:
                    trouble = error.message
                live.update(_picture(seen, where, trouble or seen.get("note", "")), refresh=True)
                await asyncio.sleep(EVERY_S)


def _picture(seen: Row, where: at.Endpoint, trouble: str) -> "Group":
    from rich.console import Group
    from rich.text import Text

    table = new_table(COLUMNS)
    for row in rows(seen, time.time()):
        cells = [Text(harmless(cell)) for cell in row]
        cells[_STATE].stylize(COLOURS.get(row[_STATE], ""))
        table.add_row(*cells)
    lines = [Text(line, style="dim") for line in [*machinery(seen), "Ctrl-C leaves."]]
    head = [Text(headline(seen, where), style="bold")] + ([Text(harmless(trouble), style="red")] if trouble else [])
    return Group(*head, table, *lines)


def headline(seen: Row, where: at.Endpoint) -> str:
    version = f"Moorage {seen['version']}" if "version" in seen else "Moorage"
    up = f", up {age(seen['uptime_s'])}" if "uptime_s" in seen else ""
    return f"{version} at {where.url}{up}"


def rows(seen: Row, now: float) -> list[tuple[str, ...]]:
    """One for each replica, one for a model without; in the order of COLUMNS."""
    found: list[tuple[str, ...]] = []
    for model in seen.get("models", []):
        name, task = model["id"], model.get("task") or "?"
        for target in model["targets"]:
            since = age(now - target["since"]) if target.get("since") else ""
            engine = target.get("engine", "")
            found.append((name, task, target["id"], target["state"], since, engine, load(target), reason(target, now)))
        if not model["targets"]:
            found.append((name, task, "", model.get("state", ""), "", "", "", model.get("reason", "")))
    return found


def load(target: Row) -> str:
    """`2/4 running, 1 queued, KV 12%`; what is unknown is left out."""
    known: Row = target.get("load") or {}
    parts: list[str] = []
    if known.get("running") is not None:
        parts.append(f"{known['running']:.0f}/{target.get('capacity') or '?'} running")
    if known.get("queued"):
        parts.append(f"{known['queued']:.0f} queued")
    if known.get("kv_used") is not None:
        parts.append(f"KV {known['kv_used']:.0%}")
    return ", ".join(parts)


def reason(target: Row, now: float) -> str:
    """Why it is in its state, how far it got, and what comes next."""
    parts = [target["reason"]] if target.get("reason") else []
    if progress := target.get("progress"):
        done, total = progress["done"], progress.get("total")
        far = f"{done / total:.0%} of {human(total)}" if total else human(done)
        parts.append(f"{progress['what']} {far}")
    if target.get("restarts"):
        parts.append(f"{target['restarts']} restarts")
    if target.get("retry_at") and target["retry_at"] > now:
        parts.append(f"next start in {age(target['retry_at'] - now)}")
    return "; ".join(parts)


def machinery(seen: Row) -> list[str]:
    """Ports of single models, workers and gateways, a line each."""
    lines = [f"model {model['id']}: also at {model['url']}" for model in seen.get("models", []) if model.get("url")]
    for worker in seen.get("workers", []):
        machine = f"{worker['cores']} cores, {human(worker['memory_bytes'])}"
        lines.append(f"worker {worker['id']}: {worker['state']}, {machine}, heard {age(worker['seen_s'])} ago")
    for gateway in seen.get("gateways", []):
        busy = gateway.get("requests_in_flight")
        calls = f", {busy} calls" if busy is not None else ""
        lines.append(f"gateway {gateway['process']}: process {gateway['pid']}{calls}")
    return lines
