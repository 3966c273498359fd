"""Requests that every engine refuses in the same words."""

from typing import Any

from moorage.errors import BadRequest


def context_exceeded(wanted: Any, room: Any) -> BadRequest:
    return BadRequest(
        f"This model's maximum context length is {room} tokens, but the prompt has {wanted} tokens. Shorten it.",
        code="context_length_exceeded",
    )
