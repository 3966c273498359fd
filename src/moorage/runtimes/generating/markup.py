"""What models write between the lines, as the families of Qwen, Hermes and DeepSeek do: reasoning in `<think>`, calls
of tools in `<tool_call>`. For engines that leave it in the text.
"""

from typing import Any, Literal, NamedTuple, cast

import msgspec

Json = dict[str, Any]

THINK, THOUGHT = "<think>", "</think>"
CALL, CALLED = "<tool_call>", "</tool_call>"
TAGS = frozenset({THINK, THOUGHT, CALL, CALLED})
Kind = Literal["content", "reasoning", "call"]


class Part(NamedTuple):
    kind: Kind
    text: str
    """Of a call its name and arguments as one JSON object, or what stood in their place."""


class Markup:
    """One reply. feed() as text comes, then end()."""

    def __init__(self, template: str, prompt: str, *, tools: bool) -> None:
        """`prompt` is what `template` wrote: it may have opened the reasoning itself."""
        self._thinks = THINK in template
        self._calls = tools and CALL in template
        self._state: Kind = "reasoning" if self._thinks and prompt.rstrip().endswith(THINK) else "content"
        self._held = ""
        self._begins = True
        """Nothing of this state was given yet, so its empty lines are not either."""
        self._said = False
        self._counted = 0

    def next_call(self) -> int:
        """The number of a call among the reply's."""
        self._counted += 1
        return self._counted - 1

    def feed(self, text: str) -> list[Part]:
        self._held += text
        parts: list[Part] = []
        while found := self._tag():
            place, tag = found
            if tag == THINK and self._held[:place].strip():
                self._said = True
                continue
            self._give(parts, self._held[:place], last=True)
            self._held = self._held[place + len(tag) :]
            self._enter(tag)
        if self._state != "call":
            keep = self._beginning()
            cut = len(self._held) - keep
            text, self._held = self._held[:cut], self._held[cut:]
            self._give(parts, text)
        return parts

    def end(self) -> list[Part]:
        """What is left. A call that was never closed is a call if it is whole."""
        parts: list[Part] = []
        text, self._held = self._held, ""
        self._give(parts, text, last=True)
        return parts

    def _tags(self) -> list[str]:
        """Those that may come next. Only a reply that says nothing before it has reasoned."""
        if self._state == "reasoning":
            return [THOUGHT]
        if self._state == "call":
            return [CALLED]
        return [*([THINK] if self._thinks and not self._said else []), *([CALL] if self._calls else [])]

    def _tag(self) -> tuple[int, str] | None:
        places = [(place, tag) for tag in self._tags() if (place := self._held.find(tag)) >= 0]
        return min(places, default=None)

    def _enter(self, tag: str) -> None:
        self._state = "reasoning" if tag == THINK else "call" if tag == CALL else "content"
        self._begins = True

    def _beginning(self) -> int:
        """How many of the last characters may be the beginning of a tag, or an empty line before one."""
        longest = 0
        for tag in self._tags():
            for size in range(min(len(tag) - 1, len(self._held)), 0, -1):
                if self._held.endswith(tag[:size]):
                    longest = max(longest, size)
                    break
        rest = self._held[: len(self._held) - longest] if longest else self._held
        blank = len(rest) - len(rest.rstrip("\n")) if self._tags() else 0
        return longest + blank

    def _give(self, parts: list[Part], text: str, *, last: bool = False) -> None:
        if self._state == "call":
            parts.append(Part("call", text.strip()) if call_of(text) else Part("content", CALL + text + CALLED))
            self._said = True
            return
        if self._begins:
            text = text.lstrip("\n")
        if last:
            text = text.rstrip("\n") if self._state == "reasoning" or self._calls else text
        if text:
            self._begins = False
            self._said = self._said or self._state == "content"
            parts.append(Part(self._state, text))


def call_of(text: str) -> Json | None:
    """The function of a call: its name, its arguments as a JSON text. None where it is no call."""
    try:
        found: Any = msgspec.json.decode(text.strip())
    except msgspec.DecodeError:
        return None
    if not isinstance(found, dict):
        return None
    call = cast("Json", found)
    arguments: Any = call.get("arguments", call.get("parameters", {}))
    if not isinstance(call.get("name"), str) or not isinstance(arguments, dict):
        return None
    return {"name": call["name"], "arguments": msgspec.json.encode(arguments).decode()}
