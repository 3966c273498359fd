"""What may be done with a text longer than the model reads: nothing unless the call says so."""

from typing import Annotated, Literal

from msgspec import Meta, Struct


class Truncation(Struct, kw_only=True):
    """Three spellings of one wish: vLLM's number of tokens, Cohere's side that is dropped, and plain true.

    Without any of them a longer text is refused with its length. The side dropped is the end unless said otherwise.
    """

    truncate_prompt_tokens: Annotated[int, Meta(ge=-1, le=1 << 31)] | None = None
    """Keep so many tokens, those the model adds included; -1 keeps what the model reads."""
    truncation_side: Literal["left", "right"] | None = None
    """Which side is dropped: the beginning or the end."""
    truncate: bool | Literal["NONE", "START", "END"] | None = None
    """Drop the beginning or the end of a text longer than the model reads; true is END, false is NONE."""
