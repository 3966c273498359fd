"""The library's stream, chat or text, as one kind of pieces; and what a call used, counted from its timings."""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from moorage.runtimes.llamacpp.caller import Work
from moorage.runtimes.llamacpp.channel import Event


class Piece(Struct):
    """What one event adds to one choice."""

    index: int
    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[Event, ...] = ()
    logprobs: tuple[Event, ...] = ()
    """One entry a token, as the library writes them: token, bytes, logprob, top_logprobs."""
    finish: str | None = None


class Usage:
    """Counts by prompt: a prompt that several choices share is one prompt."""

    def __init__(self) -> None:
        self._prompts: dict[int, tuple[int, int]] = {}
        self.completion_tokens = 0

    def add(self, prompt: int, timings: Event) -> None:
        """A choice of prompt number `prompt` is finished."""
        cached = int(timings["cache_n"])
        whole = cached + int(timings["prompt_n"])
        known = self._prompts.get(prompt, (whole, cached))
        self._prompts[prompt] = max(known[0], whole), min(known[1], cached)
        self.completion_tokens += int(timings["predicted_n"])

    def body(self) -> dict[str, Any]:
        """OpenAI's CompletionUsage."""
        prompt_tokens = sum(whole for whole, _ in self._prompts.values())
        return {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": sum(cached for _, cached in self._prompts.values())},
        }


def pieces(event: Event, work: Work, usage: Usage) -> Iterator[Piece]:
    """The pieces of one event. Progress of the prompt and empty openings are none."""
    if "prompt_progress" in event:
        return
    for choice in event["choices"]:
        delta: Event = choice.get("delta") or {}
        finish: str | None = choice["finish_reason"]
        if finish is not None:
            usage.add(work.prompt, event["timings"])
        logprobs: Event = choice.get("logprobs") or {}
        piece = Piece(
            index=work.offset + choice["index"],
            text=delta.get("content") or choice.get("text") or "",
            reasoning=delta.get("reasoning_content") or "",
            tool_calls=tuple(delta.get("tool_calls") or ()),
            logprobs=tuple(logprobs.get("content") or ()),
            finish=finish,
        )
        if piece.text or piece.reasoning or piece.tool_calls or piece.logprobs or finish is not None:
            yield piece
