"""`moorage transcribe`: the text of recordings."""

import json
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import click

from moorage.cli import endpoint as at
from moorage.cli.destination import Write, writing
from moorage.cli.output import err_console
from moorage.cli.recording import Recording, opened
from moorage.core.text import harmless
from moorage.errors import UpstreamBroken
from moorage.http.refusal import said
from moorage.wire.sse import EventSplitter, data_of

if TYPE_CHECKING:
    from moorage.http.client import Client, Reply

Format = Literal["text", "json", "srt", "vtt", "verbose_json"]

TRANSCRIPTIONS = "/v1/audio/transcriptions"
TRANSLATIONS = "/v1/audio/translations"

OnSent = Callable[[int], None]

AUDIO = click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True)


@click.command()
@click.argument("audio", nargs=-1, required=True, type=AUDIO)
@at.options
@at.model_option
@click.option("-l", "--language", metavar="CODE", help="What is spoken, such as en; told from the recording otherwise.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json", "srt", "vtt", "verbose_json"]),
    help="What to print: text (the default), subtitles, or the server's JSON as it is.",
)
@click.option("--translate", is_flag=True, help="Print it in English, whatever is spoken, where the model can.")
@click.option("--timestamps", multiple=True, type=click.Choice(["word", "segment"]), help="Makes it verbose_json.")
@click.option("--prompt", metavar="TEXT", help="Names and words to expect.")
@click.option("--temperature", type=click.FloatRange(0, 1), help="0 is the likeliest words.")
@click.option("--stream/--no-stream", default=None, help="Print text as it is recognised (only with --format text).")
@click.option("-o", "--output", type=click.Path(dir_okay=False), metavar="FILE", help="Write there instead of stdout.")
def transcribe(
    audio: tuple[str, ...],
    url: str,
    api_key: str,
    model: str,
    format_: Format | None,
    stream: bool | None,
    timestamps: tuple[str, ...],
    output: str | None,
    **wishes: Any,
) -> None:
    """Turn speech into text.

    AUDIO is a recording in any format the server reads, or - for stdin. It is sent as it is read from disk; the text
    comes while it is recognised. Several recordings are done in their order, each text under a line with its name.
    """
    shape = _format(format_, timestamps, stream, audio)
    where = at.endpoint(url, api_key)
    task = _Transcription(where, model, shape, stream is not False and shape == "text", timestamps, **wishes)
    with writing(output) as write:
        for place in audio:
            with opened(place) as recording:
                if len(audio) > 1 and shape == "text":
                    write(f"==> {recording.name} <==\n")
                at.run(_one(task, recording, write, screen=output is None and sys.stdout.isatty()), where)


def _format(wanted: Format | None, timestamps: tuple[str, ...], stream: bool | None, audio: tuple[str, ...]) -> Format:
    """What is printed. Raises click.UsageError for wishes that do not go together."""
    if timestamps and wanted not in (None, "verbose_json"):
        raise click.UsageError(f"--timestamps are in --format verbose_json, not in {wanted}")
    shape: Format = wanted or ("verbose_json" if timestamps else "text")
    if stream and shape != "text":
        raise click.UsageError(f"--stream goes with --format text; {shape} comes as a whole")
    if shape in ("srt", "vtt") and len(audio) > 1:
        raise click.UsageError(f"{shape} is of one recording: name one at a time")
    return shape


async def _one(task: "_Transcription", recording: Recording, write: Write, *, screen: bool) -> None:
    """Send a recording and write what comes; the bar leaves the terminal to the text."""
    from moorage.http.client import Client

    text = ""
    async with Client() as client:
        with _progress(recording) as bar:
            try:
                async with aclosing(task.ask(client, recording, bar.sent)) as pieces:
                    async for text in pieces:
                        bar.stop()
                        write(harmless(text) if screen else text)
            finally:
                if text and not text.endswith("\n"):
                    write("\n")


@dataclass
class _Transcription:
    """What is asked of the server for each recording."""

    where: at.Endpoint
    model: str
    format: Format
    stream: bool
    timestamps: tuple[str, ...]
    language: str | None
    translate: bool
    prompt: str | None
    temperature: float | None

    async def ask(self, client: "Client", recording: Recording, on_sent: OnSent) -> AsyncGenerator[str]:
        """The text in pieces as it is recognised, or all at once; in other formats what the server sent.

        Raises UpstreamUnreachable, Refused, UpstreamBroken (also for a stream that ends before its time).
        """
        if not self.model:
            self.model = await self.where.only_model(client, ("transcribe",))
        body = recording.form(self._fields(), on_sent)
        path = TRANSLATIONS if self.translate else TRANSCRIPTIONS
        try:
            async with client.call(self.where.url, "POST", path, body=body, token=self.where.api_key) as reply:
                await at.check(reply)
                if reply.content_type.startswith("text/event-stream"):
                    async with aclosing(_deltas(reply)) as deltas:
                        async for delta in deltas:
                            yield delta
                else:
                    yield self._whole(await reply.read(), reply.content_type)
        except UpstreamBroken:
            if recording.trouble is not None:
                raise recording.trouble from None
            raise

    def _fields(self) -> list[tuple[str, str]]:
        shape = "json" if self.stream else self.format
        fields = [("model", self.model), ("response_format", shape)]
        if self.stream:
            fields.append(("stream", "true"))
        known = {"language": self.language, "prompt": self.prompt, "temperature": self.temperature}
        fields += [(name, str(value)) for name, value in known.items() if value is not None]
        return fields + [("timestamp_granularities[]", kind) for kind in self.timestamps]

    def _whole(self, body: bytes, content_type: str) -> str:
        """A reply that is no stream. Where text is wanted, that of a server that answers with JSON all the same."""
        text = body.decode(errors="replace")
        if self.format != "text" or not content_type.startswith("application/json"):
            return text
        try:
            return str(json.loads(text)["text"])
        except (ValueError, KeyError, TypeError):
            raise UpstreamBroken(f"the server sent what is no transcript: {text[:80]!r}") from None


async def _deltas(reply: "Reply") -> AsyncGenerator[str]:
    splitter = EventSplitter()
    done = False
    async for chunk in reply.chunks():
        for event in splitter.feed(chunk):
            data = data_of(event)
            if data == b"[DONE]":
                return
            if data:
                kind, delta = _read(data)
                done = done or kind == "transcript.text.done"
                if delta:
                    yield delta
    if not done:
        raise UpstreamBroken("the stream ended before the recording was transcribed")


def _read(data: bytes) -> tuple[str, str]:
    """Type and new text of an event."""
    try:
        value: dict[str, Any] = json.loads(data)
        if value.get("error"):
            raise UpstreamBroken(f"the server broke off: {said(data)}")
        return str(value["type"]), str(value.get("delta") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UpstreamBroken(f"the server sent what is no transcript: {data[:80]!r}") from None


class _Bar:
    """How far a recording is; nothing where stderr is no terminal."""

    def sent(self, count: int) -> None:
        """So many of its bytes went out."""

    def stop(self) -> None:
        """Text comes: leave it the terminal."""


@contextmanager
def _progress(recording: Recording) -> Generator[_Bar]:
    if not sys.stderr.isatty():
        yield _Bar()
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=err_console(), transient=True)

    class Bar(_Bar):
        def sent(self, count: int) -> None:
            progress.update(task, completed=count)
            if count == recording.size_bytes:
                progress.update(task, description="listening", total=None)

        def stop(self) -> None:
            progress.stop()

    with progress:
        task = progress.add_task("sending", total=recording.size_bytes)
        yield Bar()
