"""The library's stream, chat or text, as one kind of pieces; and what a call used, counted from its timings."""

from collections.abc import Iterator

from moorage.runtimes.generating.pieces import Piece, Usage
from moorage.runtimes.llamacpp.caller import Work
from moorage.runtimes.llamacpp.channel import Event


def pieces(event: Event, work: Work, usage: Usage) -> Iterator[Piece]:
    """The pieces of one event. Progress of the prompt and empty openings are none."""
    if "prompt_progress" in event:
        return
    for choice in event["choices"]:
        delta: Event = choice.get("delta") or {}
        finish: str | None = choice["finish_reason"]
        if finish is not None:
            timings = event["timings"]
            cached, read = int(timings["cache_n"]), int(timings["prompt_n"])
            usage.add(work.prompt, read=cached + read, cached=cached, written=int(timings["predicted_n"]))
        logprobs: Event = choice.get("logprobs") or {}
        piece = Piece(
            index=work.offset + choice["index"],
            text=delta.get("content") or choice.get("text") or "",
            reasoning=delta.get("reasoning_content") or "",
            tool_calls=tuple(delta.get("tool_calls") or ()),
            logprobs=tuple(logprobs.get("content") or ()),
            finish=finish,
        )
        if piece:
            yield piece
