"""What `moorage serve` shows: how models come up, and then how to use them."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn

import moorage
from moorage.controller.api.public import Seen, status

LOOK_EVERY_S = 0.1
SETTLED = ("ready", "failed", "stopped")


async def until_settled(seen: Seen, console: Console) -> dict[str, Any]:
    """Show progress until every replica is ready or failed; the status then."""
    bars = _Bars(console) if console.is_terminal else _Lines(console)
    with bars:
        while True:
            now = status(seen)
            targets = [target for model in now["models"] for target in model["targets"]]
            bars.show(targets)
            if all(target["state"] in SETTLED for target in targets):
                return now
            await asyncio.sleep(LOOK_EVERY_S)


def welcome(console: Console, now: dict[str, Any], url: str, *, needs_key: bool) -> None:
    """The endpoint, the models with task and engine, and a line to paste."""
    console.print(f"\n[bold]Moorage {moorage.__version__}[/bold] serves at [bold cyan]{url}/v1[/bold cyan]\n")
    width = max((len(model["id"]) for model in now["models"]), default=0)
    for model in now["models"]:
        console.print(_model_line(model, width))
        for target in model["targets"]:
            if target["state"] == "failed":
                for line in target["reason"].splitlines():
                    console.print(f"      {escape(line)}", style="red")
    ready = [model for model in now["models"] if model["state"] == "ready"]
    if ready:
        console.print("\nTry it:\n")
        console.print(curl_line(url, ready[0], needs_key=needs_key), soft_wrap=True, highlight=False, markup=False)
        console.print("\nor [bold]moorage chat[/bold] in another terminal. Ctrl-C stops the server.\n")
    elif not now["models"]:
        console.print("  no models are configured; name one: [bold]moorage serve PATH_TO.gguf[/bold]\n")


def curl_line(url: str, model: dict[str, Any], *, needs_key: bool) -> str:
    """A first request that works as pasted."""
    if model["task"] == "embed":
        path, body = "embeddings", {"model": model["id"], "input": "Hello!"}
    else:
        body = {"model": model["id"], "messages": [{"role": "user", "content": "Say hello in one sentence."}]}
        path = "chat/completions"
    key = ' -H "Authorization: Bearer $MOORAGE_API_KEY"' if needs_key else ""
    return f"curl {url}/v1/{path}{key} -H 'Content-Type: application/json' -d '{json.dumps(body)}'"


def _model_line(model: dict[str, Any], width: int) -> str:
    target = next(iter(model["targets"]), None)
    engine = target["engine"] if target else ""
    marks = {"ready": "[green]●[/green]", "failed": "[red]●[/red]"}
    details = [model["task"] or "", engine, f"{model['max_model_len']} tokens" if model["max_model_len"] else ""]
    if model["state"] != "ready":
        details.append(model["state"])
    described = " · ".join(detail for detail in details if detail)
    return f"  {marks.get(model['state'], '○')} {escape(model['id']):<{width}}  [dim]{described}[/dim]"


@dataclass
class _Shown:
    task: TaskID
    phase: str


class _Bars:
    """Progress bars, one a replica."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._shown: dict[str, _Shown] = {}

    def __enter__(self) -> None:
        self._progress.start()

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, targets: list[dict[str, Any]]) -> None:
        for target in targets:
            progress = target["progress"] or {"what": target["state"], "done": 0, "total": None}
            phase = str(progress["what"])
            shown = self._shown.get(target["id"])
            if shown is None or shown.phase != phase:
                if shown is not None:
                    self._progress.remove_task(shown.task)
                shown = self._shown[target["id"]] = _Shown(
                    self._progress.add_task(f"{target['id']}: {phase}", total=None), phase
                )
            self._progress.update(
                shown.task,
                total=progress["total"],
                completed=progress["done"],
                visible=target["state"] not in SETTLED,
            )


class _Lines:
    """One line a change, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: dict[str, str] = {}

    def __enter__(self) -> None:
        return

    def __exit__(self, *_: object) -> None:
        return

    def show(self, targets: list[dict[str, Any]]) -> None:
        for target in targets:
            text = target["progress"]["what"] if target["progress"] else target["state"]
            if self._said.get(target["id"]) != text:
                self._said[target["id"]] = text
                self._console.print(f"{target['id']}: {text}", markup=False, soft_wrap=True)
