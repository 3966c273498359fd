"""An engine's error reply as ours: its words kept where they concern the caller, its status mapped."""

import re

import msgspec

from moorage.errors import BadRequest, MoorageError, NotFound, TooLarge, Unavailable, UnsupportedType, UpstreamError

RETRY_AFTER_MAX_S = 3600.0


_TOO_LONG = re.compile(
    r"maximum context length|model's context length|exceeds the (?:available )?context (?:size|length)|"
    r"[Pp]rompt sequence length is greater|exceed max_(?:seq_len|num_tokens|input_len)"
)
"""Prompts beyond the context, in the words of llama-server, vLLM, SGLang, mistral.rs and TensorRT-LLM."""
_NOT_READ = re.compile(r"(?:image|audio|video) input is not supported")
"""What llama-server calls a failure of its own (500), though the caller sent what the model cannot read."""


class _EngineError(msgspec.Struct):
    """An engine's error body, in the spellings seen: OpenAI's, FastAPI's, plain."""

    class Inner(msgspec.Struct):
        message: str = ""
        param: str | None = None
        code: str | int | None = None

    error: Inner | str | None = None
    detail: object = None
    message: str = ""


_error = msgspec.json.Decoder(_EngineError).decode


def refusal(status: int, content: bytes, retry_after: str | None, *, secret: str = "") -> MoorageError:
    """What a call fails with when an engine answers `status` (anything but 200).

    `secret` is the token it was called with: a server elsewhere may repeat it, and no client is to read it.
    """
    if secret:
        content = content.replace(secret.encode(), b"***")
    message = message_of(content) or f"the engine answered {status}"
    param, code = _origin(content)
    if status in (400, 413, 422) and _TOO_LONG.search(message):
        return BadRequest(message, param=param, code="context_length_exceeded")
    if status == 500 and _NOT_READ.search(message):
        return BadRequest(message, param=param)
    if status in (401, 403):
        return UpstreamError("the engine refused the gateway's credentials")
    if status == 404:
        return NotFound(message, param=param, code=code)
    if status == 413:
        return TooLarge(message, param=param, code=code)
    if status == 415:
        return UnsupportedType(message, param=param, code=code)
    if 400 <= status < 500 and status not in (408, 429):
        return BadRequest(message, param=param, code=code)
    if status in (408, 429, 503):
        known = retry_after is not None and retry_after.isascii() and retry_after.isdigit()
        seconds = min(float(retry_after), RETRY_AFTER_MAX_S) if retry_after and known else 1.0
        return Unavailable(message, retry_after_s=seconds)
    return UpstreamError(message)


def message_of(content: bytes) -> str:
    """What an error body says; empty where it says nothing we can read."""
    try:
        parsed = _error(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    if isinstance(parsed.error, _EngineError.Inner):
        return parsed.error.message
    return parsed.error or parsed.message or (str(parsed.detail) if parsed.detail else "")


def _origin(content: bytes) -> tuple[str | None, str | None]:
    try:
        inner = _error(content).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None, None
    if not isinstance(inner, _EngineError.Inner):
        return None, None
    return inner.param, inner.code if isinstance(inner.code, str) else None
