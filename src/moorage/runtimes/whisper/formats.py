"""What was heard, written the way a call asked for."""

from collections.abc import Iterable, Sequence

from moorage.runtimes.host.asgi import encode
from moorage.runtimes.whisper.languages import ENGLISH, name
from moorage.runtimes.whisper.library import Task
from moorage.runtimes.whisper.transcriber import Heard
from moorage.wire.api.audio import DurationUsage, Format, Granularity, Segment, TranscriptionReply, VerboseReply

TYPES: dict[Format, bytes] = {
    "json": b"application/json",
    "verbose_json": b"application/json",
    "text": b"text/plain; charset=utf-8",
    "srt": b"application/x-subrip; charset=utf-8",
    "vtt": b"text/vtt; charset=utf-8",
}


def text_of(heard: Iterable[Heard]) -> str:
    return "".join(each.segment.text for each in heard).strip()


def written(
    format: Format,
    heard: Sequence[Heard],
    *,
    task: Task,
    language: str,
    duration_s: float,
    granularities: Sequence[Granularity],
) -> bytes:
    """The body of a reply."""
    segments = [each.segment for each in heard]
    usage = DurationUsage(seconds=round(duration_s, 3))
    if format == "json":
        return encode(TranscriptionReply(text=text_of(heard), usage=usage))
    if format == "text":
        return f"{text_of(heard)}\n".encode()
    if format == "srt":
        return srt(segments).encode()
    if format == "vtt":
        return vtt(segments).encode()
    reply = VerboseReply(
        task=task,
        language=name(ENGLISH if task == "translate" else language),
        duration=round(duration_s, 3),
        text=text_of(heard),
        usage=usage,
        words=[word for each in heard for word in each.words] if "word" in granularities else None,
        segments=segments if "segment" in granularities else None,
    )
    return encode(reply)


def srt(segments: Iterable[Segment]) -> str:
    """SubRip: numbered cues, milliseconds after a comma."""
    cues = (
        f"{number}\n{_clock(each.start, ',')} --> {_clock(each.end, ',')}\n{_line(each.text)}\n"
        for number, each in enumerate(segments, 1)
    )
    return "\n".join(cues)


def vtt(segments: Iterable[Segment]) -> str:
    """WebVTT (https://www.w3.org/TR/webvtt1/): what would be markup is escaped."""
    cues = (
        f"{_clock(each.start, '.')} --> {_clock(each.end, '.')}\n{_escaped(_line(each.text))}\n" for each in segments
    )
    return "\n".join(["WEBVTT\n", *cues])


def _line(text: str) -> str:
    """One line without what stands between times."""
    return " ".join(text.split()).replace("-->", "->")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clock(seconds: float, mark: str) -> str:
    total_ms = round(seconds * 1000)
    return (
        f"{total_ms // 3_600_000:02}:{total_ms // 60_000 % 60:02}:{total_ms // 1000 % 60:02}{mark}{total_ms % 1000:03}"
    )
