"""`POST /tokenize` and `/detokenize`, in vLLM's shapes."""

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


class DetokenizeRequest(Struct, kw_only=True):
    tokens: list[TokenId]
    model: str = ""
