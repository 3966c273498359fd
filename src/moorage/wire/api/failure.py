"""The body of every refused or failed call: OpenAI's error. The tree behind it is `moorage.errors`."""

from msgspec import Struct


class Failure(Struct, kw_only=True, frozen=True):
    message: str
    """What happened, to which value, and what to do next."""
    type: str
    """The family, in OpenAI's words."""
    param: str | None
    """The field that is wrong, where it is one."""
    code: str
    """Stable: for programs."""


class ErrorReply(Struct, kw_only=True, frozen=True):
    error: Failure
