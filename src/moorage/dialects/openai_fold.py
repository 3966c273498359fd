"""Fold a stream of OpenAI's chat or completion chunks into the body of the same call without a stream. Pure."""

from collections.abc import Mapping
from typing import Any, cast

Json = dict[str, Any]

_WHOLE = {"chat.completion.chunk": "chat.completion", "text_completion": "text_completion"}
_APPENDED = ("content", "reasoning_content", "reasoning", "refusal")


class Fold:
    """Takes chunks in their order; `body` is the reply, with the shape OpenAI publishes for it."""

    def __init__(self) -> None:
        self._head: Json = {}
        self._choices: dict[int, _Choice] = {}
        self._usage: Any = None

    def add(self, chunk: Mapping[str, Any]) -> None:
        for name, value in chunk.items():
            if name not in ("choices", "usage", "object"):
                self._head.setdefault(name, value)
        if "object" not in self._head and chunk.get("object") in _WHOLE:
            self._head["object"] = _WHOLE[chunk["object"]]
        self._usage = chunk.get("usage") or self._usage
        for choice in _objects(chunk.get("choices")):
            index = choice.get("index", 0)
            self._choices.setdefault(index, _Choice(index)).add(choice)

    def body(self) -> Json:
        body = {**self._head, "choices": [self._choices[index].body() for index in sorted(self._choices)]}
        return body if self._usage is None else body | {"usage": self._usage}


class _Choice:
    def __init__(self, index: int) -> None:
        self._index = index
        self._text: list[str] | None = None
        self._message: Json = {"role": "assistant", "content": None, "refusal": None}
        self._tool_calls: dict[int, Json] = {}
        self._logprobs: dict[str, list[Any]] | None = None
        self._finish_reason: str | None = None

    def add(self, choice: Json) -> None:
        if "text" in choice:
            self._text = [*(self._text or ()), choice["text"] or ""]
        delta: Json = choice.get("delta") or {}
        for name, value in delta.items():
            if name == "tool_calls":
                for call in _objects(value):
                    self._add_tool_call(call)
            elif name in _APPENDED:
                if value is not None:
                    self._message[name] = (self._message.get(name) or "") + value
            elif value is not None:
                self._message[name] = value
        logprobs: Json = choice.get("logprobs") or {}
        for name, values in logprobs.items():
            if isinstance(values, list):
                self._logprobs = self._logprobs or {}
                self._logprobs.setdefault(name, []).extend(cast("list[Any]", values))
        self._finish_reason = choice.get("finish_reason") or self._finish_reason

    def _add_tool_call(self, piece: Json) -> None:
        call = self._tool_calls.setdefault(piece.get("index", 0), {"function": {"name": "", "arguments": ""}})
        call |= {name: value for name, value in piece.items() if name in ("id", "type") and value}
        function: Json = piece.get("function") or {}
        for name in ("name", "arguments"):
            call["function"][name] += function.get(name) or ""

    def body(self) -> Json:
        body: Json = {"index": self._index, "logprobs": self._logprobs, "finish_reason": self._finish_reason}
        if self._text is not None:
            return body | {"text": "".join(self._text)}
        calls = [{"type": "function", **self._tool_calls[index]} for index in sorted(self._tool_calls)]
        return body | {"message": self._message | ({"tool_calls": calls} if calls else {})}


def _objects(value: Any) -> list[Json]:
    items = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("Json", item) for item in items if isinstance(item, dict)]
