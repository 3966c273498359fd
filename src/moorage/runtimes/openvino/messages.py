"""Messages as the templates of text models take them: contents are texts, the arguments of calls are objects."""

from typing import Any

import msgspec

Json = dict[str, Any]


def template_messages(messages: list[Json]) -> list[Json]:
    return [_message(message) for message in messages]


def _message(message: Json) -> Json:
    content = message.get("content")
    if isinstance(content, list):
        parts: list[Any] = content  # pyright: ignore[reportUnknownVariableType]
        content = "\n".join(str(part["text"]) for part in parts)
    body: Json = {**message, "content": content or ""}
    if calls := message.get("tool_calls"):
        body["tool_calls"] = [{**call, "function": _function(call["function"])} for call in calls]
    return body


def _function(function: Json) -> Json:
    """Templates write arguments as JSON themselves: a text would come out quoted."""
    try:
        arguments = msgspec.json.decode(function["arguments"])
    except msgspec.DecodeError:
        return function
    return {**function, "arguments": arguments} if isinstance(arguments, dict) else function
