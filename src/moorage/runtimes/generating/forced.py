"""A forced tool call while it is written: the model's JSON in, pieces of `tool_calls` out.

Two forms. Where only one function can be called, the text is its arguments. Where the model chooses, the text is
`{"name": …, "arguments": …}` in that order, which the grammar guarantees.
"""

import re
import secrets
from typing import Any

import msgspec

Json = dict[str, Any]

_HEAD = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*')


def call_id() -> str:
    return f"call_{secrets.token_hex(12)}"


class ForcedCall:
    """One choice's call. feed() as text comes; `complete` says whether the arguments are whole."""

    def __init__(self, name: str | None) -> None:
        self._name = name
        self._head = ""
        self._opened = False
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self.complete = False

    def feed(self, text: str) -> list[Json]:
        """Pieces as OpenAI streams them: first id, type and name, then arguments."""
        pieces: list[Json] = []
        if not self._opened:
            self._head += text
            name = self._name
            if name is None:
                head = _HEAD.match(self._head)
                if head is None or head.end() == len(self._head):
                    return pieces
                name = str(msgspec.json.decode(head[1]))
                text = self._head[head.end() :]
            else:
                text = self._head.lstrip()
                if not text:
                    return pieces
            self._opened = True
            opening = {"name": name, "arguments": ""}
            pieces.append({"index": 0, "id": call_id(), "type": "function", "function": opening})
        if arguments := self._arguments(text):
            pieces.append({"index": 0, "function": {"arguments": arguments}})
        return pieces

    def _arguments(self, text: str) -> str:
        """What of `text` belongs to the arguments, which end where their first bracket closes."""
        if self.complete:
            return ""
        for place, char in enumerate(text):
            if self._in_string:
                if self._escaped:
                    self._escaped = False
                elif char == "\\":
                    self._escaped = True
                elif char == '"':
                    self._in_string = False
            elif char == '"':
                self._in_string = True
            elif char in "{[":
                self._depth += 1
            elif char in "}]":
                self._depth -= 1
                if self._depth == 0:
                    self.complete = True
                    return text[: place + 1]
        return text
