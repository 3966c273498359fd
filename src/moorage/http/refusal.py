"""What a server says when it refuses a call."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from moorage.errors import UpstreamError

if TYPE_CHECKING:
    from moorage.http.client import Reply

SHOWN_BYTES = 300


class Refused(UpstreamError):
    """The server answered with an error; the message is its own."""

    def __init__(self, message: str, answered: int) -> None:
        super().__init__(message)
        self.answered = answered


async def check(reply: "Reply") -> None:
    """Raises Refused, with the server's own words, for a reply that is an error."""
    if reply.status >= 400:
        body = await reply.read()
        raise Refused(said(body) or f"the server answered {reply.status} and no word more", reply.status)


def said(body: bytes) -> str:
    """The message in an error body of OpenAI's shape, else the start of the text."""
    text = body[:SHOWN_BYTES].decode(errors="replace").strip()
    try:
        value: Any = json.loads(body)
    except ValueError:
        return text
    error: Any = cast("Mapping[str, Any]", value).get("error") if isinstance(value, dict) else None
    if isinstance(error, dict):
        error = cast("Mapping[str, Any]", error).get("message")
    return error if isinstance(error, str) else text
