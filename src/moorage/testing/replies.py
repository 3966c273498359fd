"""What the fake engine says: OpenAI's shapes around words of its own.

A token is a word with the space before it, so everyone can count.
"""

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

import msgspec

from moorage.testing.faults import said

WORDS = (
    " The",
    " anchor",
    " holds",
    " ⚓",
    " and",
    " the",
    " quay",
    " is",
    " déjà",
    " vu",
    " 世界",
    " fair",
    " winds.",
)

PROMPTS = ("messages", "prompt", "input", "query", "text_1", "queries", "data_1", "texts", "inputs")
"""Fields in which a body may say what it is about."""

encode = msgspec.json.encode
_counter = itertools.count(1)
CREATED = 1_700_000_000


def text_of(value: Any) -> str:
    """The text in messages, parts, prompts or inputs; token ids count as one word each."""
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f" {value}"
    if isinstance(value, list):
        return " ".join(text_of(item) for item in cast("list[Any]", value))
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return " ".join(text_of(fields[key]) for key in ("content", "text") if fields.get(key))
    return ""


def prompt_of(body: Mapping[str, Any]) -> str:
    return next((text_of(body[key]) for key in PROMPTS if key in body), "")


def last_of(body: Mapping[str, Any]) -> str:
    """The text in which directives count: the last message, else the whole prompt or input."""
    messages = _list(body.get("messages"))
    return text_of(messages[-1]) if messages else prompt_of(body)


def pieces(text: str) -> list[str]:
    """Joined they are the text."""
    return re.findall(r"\s*\S+|\s+$", text)


def count(text: str) -> int:
    return len(text.split())


class Generation:
    """One reply (`delivery.Reply`): its tokens, and how they look as a stream and as a body."""

    content_type = "application/json"

    def __init__(self, path: str, body: Mapping[str, Any], *, model: str, default_tokens: int) -> None:
        self.chat = path.endswith("/chat/completions")
        self.model = model
        self.n = _positive(body.get("n"), 1)
        self.stream = body.get("stream") is True
        self.wants_usage = _dict(body.get("stream_options")).get("include_usage") is True
        self.usage_always = False
        self.tool = _tool(body)
        self.prompt_tokens = count(prompt_of(body))
        limit = _positive(body.get("max_completion_tokens") or body.get("max_tokens"), 0)
        self.tokens, self.finish_reason = self._words(said(last_of(body)), limit, default_tokens)
        self.id = f"{'chatcmpl' if self.chat else 'cmpl'}-fake-{next(_counter)}"

    def _words(self, text: str | None, limit: int, default: int) -> tuple[list[str], str]:
        if self.tool and text is None:
            text = "{}"
        if text is not None:
            words = pieces(text)
            if limit and limit < len(words):
                return words[:limit], "length"
            return words, "tool_calls" if self.tool else "stop"
        wanted = limit or default
        words = ["The", *itertools.islice(itertools.cycle(WORDS), 1, wanted)]
        return words, "length" if limit else "stop"

    @property
    def usage(self) -> dict[str, int]:
        output = self.n * len(self.tokens)
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": output,
            "total_tokens": self.prompt_tokens + output,
        }

    def opening(self) -> Iterator[bytes]:
        """The chunks before the first token."""
        if self.chat:
            for index in range(self.n):
                delta: dict[str, Any] = {"role": "assistant", "content": None if self.tool else ""}
                if self.tool:
                    delta["tool_calls"] = [{"index": 0, **self._call("")}]
                yield self._chunk(index, delta)

    def token(self, at: int) -> Iterator[bytes]:
        """The chunks of the token `at`, one for each choice."""
        for index in range(self.n):
            text = self.tokens[at]
            if not self.chat:
                yield self._chunk(index, text)
            elif self.tool:
                yield self._chunk(index, {"tool_calls": [{"index": 0, "function": {"arguments": text}}]})
            else:
                yield self._chunk(index, {"content": text})

    def closing(self) -> Iterator[bytes]:
        """The chunks behind the last token."""
        for index in range(self.n):
            yield self._chunk(index, {} if self.chat else "", self.finish_reason)
        if self.wants_usage or self.usage_always:
            yield encode({**self._frame("chunk"), "choices": [], "usage": self.usage})

    def whole(self) -> bytes:
        """The body of a unary reply."""
        text = "".join(self.tokens)
        choices: list[dict[str, Any]] = []
        for index in range(self.n):
            choice: dict[str, Any] = {"index": index, "logprobs": None, "finish_reason": self.finish_reason}
            if not self.chat:
                choice["text"] = text
            elif self.tool:
                choice["message"] = {"role": "assistant", "content": None, "tool_calls": [self._call(text)]}
            else:
                choice["message"] = {"role": "assistant", "content": text, "refusal": None}
            choices.append(choice)
        return encode({**self._frame(), "choices": choices, "usage": self.usage})

    def _chunk(self, index: int, delta: dict[str, Any] | str, finish_reason: str | None = None) -> bytes:
        key = "delta" if self.chat else "text"
        choice = {"index": index, key: delta, "logprobs": None, "finish_reason": finish_reason}
        frame = self._frame("chunk") | {"choices": [choice]}
        if self.usage_always:
            frame["usage"] = self.usage
        elif self.wants_usage:
            frame["usage"] = None
        return encode(frame)

    def _frame(self, suffix: str = "") -> dict[str, Any]:
        kind = "chat.completion" + (f".{suffix}" if suffix else "") if self.chat else "text_completion"
        return {"id": self.id, "object": kind, "created": CREATED, "model": self.model}

    def _call(self, arguments: str) -> dict[str, Any]:
        function = {"name": self.tool, "arguments": arguments}
        return {"id": f"call_{self.id[-12:]}", "type": "function", "function": function}


def tokenized(body: Mapping[str, Any], *, max_model_len: int) -> bytes:
    tokens = [hash_of(word) % 50_000 for word in prompt_of(body).split()]
    return encode({"count": len(tokens), "max_model_len": max_model_len, "tokens": tokens})


def hash_of(text: str) -> int:
    """The same in every process, unlike hash()."""
    value = 0
    for byte in text.encode():
        value = (value * 131 + byte) % (1 << 61)
    return value


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _dict(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _positive(value: Any, default: int) -> int:
    return value if isinstance(value, int) and value > 0 else default


def _tool(body: Mapping[str, Any]) -> str:
    """The tool a call forces, empty for none."""
    tools, choice = _list(body.get("tools")), body.get("tool_choice")
    if not tools or choice in (None, "auto", "none"):
        return ""
    chosen = _dict(choice) or _dict(tools[0])
    return str(_dict(chosen.get("function")).get("name", ""))
