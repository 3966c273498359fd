"""What `moorage serve` shows: how models come up, and then how to use them."""

import asyncio
import json
from typing import Any

import msgspec
from rich.columns import Columns
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import Progress, ProgressColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Task as Bar
from rich.progress_bar import ProgressBar

import moorage
from moorage.controller.api.public import Seen, status
from moorage.core.text import harmless, human
from moorage.wire.names import Task

LOOK_EVERY_S = 0.1
SETTLED = ("ready", "failed", "stopped")
FIRST_CALLS: dict[Task, tuple[str, dict[str, Any]]] = {
    "generate": (
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": "Say hello in one sentence."}], "max_tokens": 64},
    ),
    "embed": ("/v1/embeddings", {"input": "Hello!"}),
    "rerank": ("/v1/rerank", {"query": "Where do ships rest?", "documents": ["In a harbour.", "In the sky."]}),
    "classify": ("/classify", {"input": "Hello!"}),
}
"""By task: a path and a body to try it with."""


async def until_settled(seen: Seen, console: Console) -> dict[str, Any]:
    """Show progress until every replica is ready or failed; the status then."""
    bars = _Bars(console) if console.is_terminal else _Lines(console)
    with bars:
        while True:
            now = msgspec.to_builtins(status(seen))
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
                    console.print(f"      {escape(harmless(line))}", style="red")
    ready = [model for model in now["models"] if model["state"] == "ready"]
    if ready:
        console.print("\nTry it:\n")
        console.print(curl_line(url, ready[0], needs_key=needs_key), soft_wrap=True, highlight=False, markup=False)
        console.print("\nor [bold]moorage chat[/bold] in another terminal. Ctrl-C stops the server.\n")
    elif not now["models"]:
        console.print("  no models are configured; name one: [bold]moorage serve PATH_TO.gguf[/bold]\n")


def curl_line(url: str, model: dict[str, Any], *, needs_key: bool) -> str:
    """A first request that works as pasted, where there is a recording for those that want one."""
    key = ' -H "Authorization: Bearer $MOORAGE_API_KEY"' if needs_key else ""
    if model["task"] == "transcribe":
        return f"curl {url}/v1/audio/transcriptions{key} -F model={model['id']} -F file=@speech.wav"
    path, fields = FIRST_CALLS.get(model["task"], FIRST_CALLS["generate"])
    body = {"model": model["id"], **fields}
    return f"curl {url}{path}{key} -H 'Content-Type: application/json' -d '{json.dumps(body)}'"


def _model_line(model: dict[str, Any], width: int) -> str:
    target = next(iter(model["targets"]), None)
    engine = target["engine"] if target else ""
    marks = {"ready": "[green]●[/green]", "failed": "[red]●[/red]"}
    details = [model["task"] or "", engine, f"{model['max_model_len']} tokens" if model["max_model_len"] else ""]
    if model["url"]:
        details.append(f"also at {model['url']}/v1")
    if model["state"] != "ready":
        details.append(model["state"])
    described = " · ".join(detail for detail in details if detail)
    return f"  {marks.get(model['state'], '○')} {escape(model['id']):<{width}}  [dim]{described}[/dim]"


class _Bars:
    """One line a replica: a bar while bytes come, a spinner while the engine loads."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            _Bytes(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> None:
        self._progress.start()

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, targets: list[dict[str, Any]]) -> None:
        for target in targets:
            progress = target["progress"] or {"what": target["state"], "done": 0, "total": None}
            task = self._tasks.get(target["id"])
            if task is None:
                task = self._tasks[target["id"]] = self._progress.add_task("", total=None)
            self._progress.update(
                task,
                description=f"[bold]{escape(target['id'])}[/bold] {progress['what']}",
                # None would leave the amount of the phase before.
                total=progress["total"] or 0,
                completed=progress["done"],
                visible=target["state"] not in SETTLED,
            )


class _Bytes(ProgressColumn):
    """A bar and the megabytes, where the amount is known."""

    def render(self, task: Bar) -> RenderableType:
        if not task.total:
            return ""
        bar = ProgressBar(total=task.total, completed=task.completed, width=30)
        amount = f"{human(task.completed)} of {human(task.total)}"
        return Columns([bar, amount])


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
