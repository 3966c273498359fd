"""What an engine writes, in pieces; and what a call used."""

from typing import Any

from msgspec import Struct

Json = dict[str, Any]


class Piece(Struct):
    """What one step adds to one choice."""

    index: int
    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[Json, ...] = ()
    logprobs: tuple[Json, ...] = ()
    """One entry a token: token, bytes, logprob, top_logprobs."""
    finish: str | None = None

    def __bool__(self) -> bool:
        """Whether there is anything in it."""
        return bool(self.text or self.reasoning or self.tool_calls or self.logprobs or self.finish is not None)


class Usage:
    """Counts by prompt: a prompt that several choices share is one prompt."""

    def __init__(self) -> None:
        self._prompts: dict[int, tuple[int, int | None]] = {}
        self.completion_tokens = 0

    def add(self, prompt: int, *, read: int, cached: int | None = 0, written: int = 0) -> None:
        """A choice of prompt number `prompt` is finished: tokens of the prompt, those of them an earlier call had left
        in the cache (None: the engine does not say), and tokens of the reply."""
        known, known_cached = self._prompts.get(prompt, (read, cached))
        unknown = cached is None or known_cached is None
        self._prompts[prompt] = max(known, read), None if unknown else min(known_cached or 0, cached or 0)
        self.completion_tokens += written

    def body(self) -> Json:
        """OpenAI's CompletionUsage."""
        prompt_tokens = sum(read for read, _ in self._prompts.values())
        body: Json = {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": prompt_tokens + self.completion_tokens,
        }
        cached = [count for _, count in self._prompts.values()]
        known = [count for count in cached if count is not None]
        if len(known) == len(cached):
            body["prompt_tokens_details"] = {"cached_tokens": sum(known)}
        return body
