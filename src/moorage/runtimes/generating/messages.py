"""The messages of a chat as templates read them."""

from typing import Any

import msgspec

from moorage.errors import BadRequest
from moorage.wire.api.chat import Message, Part

Json = dict[str, Any]

MEDIA = {"image_url": "an image", "input_audio": "audio", "file": "a file", "video_url": "a video"}


def messages(given: list[Message]) -> list[Json]:
    """Messages as templates read them, contents in parts left so. Raises BadRequest for what is not text."""
    return [_message(message, f"messages[{place}]") for place, message in enumerate(given)]


def _message(message: Message, param: str) -> Json:
    role = message.role
    body: Json = {"role": "system" if role == "developer" else role}
    if isinstance(message.content, list):
        parts = [_part(part, f"{param}.content[{place}]") for place, part in enumerate(message.content)]
        body["content"] = parts
    else:
        body["content"] = message.content
    if message.content is None and not (role == "assistant" and (message.tool_calls or message.reasoning_content)):
        raise BadRequest(f"{param}.content is required", param=f"{param}.content", code="missing_required_parameter")
    if role == "tool":
        if not message.tool_call_id:
            raise BadRequest(
                f"{param}.tool_call_id is required in a message of role 'tool'", param=f"{param}.tool_call_id"
            )
        body["tool_call_id"] = message.tool_call_id
    if role == "assistant" and message.tool_calls:
        body["tool_calls"] = [
            {"id": call.id, "type": "function", "function": msgspec.to_builtins(call.function)}
            for call in message.tool_calls
        ]
    if role == "assistant" and message.reasoning_content:
        body["reasoning_content"] = message.reasoning_content
    if message.name is not None:
        body["name"] = message.name
    return body


def _part(part: Part, param: str) -> Json:
    if part.type in {"text", "refusal"}:
        text = part.text if part.type == "text" else part.refusal
        if text is None:
            raise BadRequest(f"{param}.{part.type} is required", param=f"{param}.{part.type}")
        return {"type": "text", "text": text}
    raise BadRequest(
        f"{param}: this model reads text only, it cannot take {MEDIA[part.type]}",
        param=param,
        code="unsupported_content",
    )


def instructed(given: list[Json], instruction: str) -> list[Json]:
    """The messages with `instruction` in their system message."""
    first = given[0]
    if first["role"] != "system":
        return [{"role": "system", "content": instruction}, *given]
    content = first["content"]
    if isinstance(content, str):
        content = f"{content}\n\n{instruction}"
    else:
        content = [*content, {"type": "text", "text": instruction}]
    return [{**first, "content": content}, *given[1:]]
