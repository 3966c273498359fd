"""`POST /tokenize` and `/detokenize`, in vLLM's shapes.

Nothing is cut here: `count` says how long a text is that the model would refuse or cut.
"""

from typing import Annotated

from msgspec import Meta, Struct

from moorage.wire.api.chat import Message, Tool
from moorage.wire.api.fields import TokenId


class TokenizeRequest(Struct, kw_only=True):
    """vLLM's /tokenize: a prompt, or messages as the chat template writes them."""

    model: str = ""
    prompt: str | None = None
    messages: Annotated[list[Message], Meta(min_length=1)] | None = None
    tools: list[Tool] | None = None
    add_special_tokens: bool | None = None
    add_generation_prompt: bool | None = None
    return_token_strs: bool | None = None


class TokenizeResponse(Struct, kw_only=True):
    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None = None
    """Where `return_token_strs` asked for them."""


class DetokenizeRequest(Struct, kw_only=True):
    tokens: list[TokenId]
    model: str = ""


class DetokenizeResponse(Struct, kw_only=True):
    prompt: str
