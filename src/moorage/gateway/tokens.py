"""Tokens counted by an engine that does it in other shapes than vLLM's."""

from collections.abc import Awaitable, Callable

import msgspec

from moorage.dialects import llamacpp_tokens as dialect
from moorage.errors import BadRequest, UpstreamBroken
from moorage.gateway.call import Call

PATHS = (dialect.TOKENIZE, dialect.DETOKENIZE)

Ask = Callable[[str, bytes], Awaitable[bytes]]
"""(path, body) → body of a 200. Raises MoorageError."""


async def translated(path: str, content: bytes, call: Call, ask: Ask) -> bytes:
    """What the client gets. Messages take two steps: their template writes them, then they are counted."""
    try:
        if path == dialect.DETOKENIZE:
            return dialect.from_detokenize(await ask(path, content))
        asked = _asked(content)
        text = asked.prompt or ""
        if dialect.given(asked.messages):
            text = dialect.from_template(await ask(dialect.TEMPLATE, dialect.to_template(asked)))
        counted = await ask(path, dialect.to_tokenize(asked, text))
        assert call.model is not None
        return dialect.from_tokenize(asked, counted, call.model.max_model_len or 0)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UpstreamBroken("the engine's reply is none that counts tokens") from error


def _asked(content: bytes) -> dialect.Asked:
    try:
        asked = dialect.asked(content)
    except msgspec.DecodeError as error:
        raise BadRequest(f"this cannot be counted: {error}") from error
    if (asked.prompt is not None) == dialect.given(asked.messages):
        raise BadRequest("give either prompt or messages", param="prompt")
    return asked
