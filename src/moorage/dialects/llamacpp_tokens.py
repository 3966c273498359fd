"""vLLM's /tokenize and /detokenize at a llama-server, which has both in shapes of its own. Pure."""

from typing import Any

import msgspec
from msgspec import Struct

from moorage.wire.api.tokens import DetokenizeResponse, TokenizeResponse

TEMPLATE = "/apply-template"
TOKENIZE = "/tokenize"
DETOKENIZE = "/detokenize"

NOT_GIVEN = msgspec.Raw(b"null")

_encode = msgspec.json.Encoder().encode


class Asked(Struct, kw_only=True):
    """A client's call, as far as it is translated; the engine judges the messages."""

    prompt: str | None = None
    messages: msgspec.Raw = NOT_GIVEN
    tools: msgspec.Raw = NOT_GIVEN
    add_special_tokens: bool | None = None
    add_generation_prompt: bool | None = None
    return_token_strs: bool | None = None


class _Prompt(Struct):
    prompt: str


class _Piece(Struct):
    id: int
    piece: str | list[int]
    """The bytes, where they are no whole characters."""


class _Tokens(Struct):
    tokens: list[_Piece]


class _Text(Struct):
    content: str


asked = msgspec.json.Decoder(Asked).decode
_prompt = msgspec.json.Decoder(_Prompt).decode
_tokens = msgspec.json.Decoder(_Tokens).decode
_text = msgspec.json.Decoder(_Text).decode


def given(field: msgspec.Raw) -> bool:
    return bytes(field) != b"null"


def to_template(call: Asked) -> bytes:
    """The body that writes messages as the model's template does."""
    body: dict[str, Any] = {"messages": call.messages}
    if given(call.tools):
        body["tools"] = call.tools
    if call.add_generation_prompt is not None:
        body["add_generation_prompt"] = call.add_generation_prompt
    return _encode(body)


def from_template(reply: bytes) -> str:
    """Raises msgspec.DecodeError."""
    return _prompt(reply).prompt


def to_tokenize(call: Asked, text: str) -> bytes:
    special = call.add_special_tokens is not False
    return _encode({"content": text, "add_special": special, "parse_special": True, "with_pieces": True})


def from_tokenize(call: Asked, reply: bytes, max_model_len: int) -> bytes:
    """Raises msgspec.DecodeError."""
    tokens = _tokens(reply).tokens
    return _encode(
        TokenizeResponse(
            count=len(tokens),
            max_model_len=max_model_len,
            tokens=[token.id for token in tokens],
            token_strs=[_written(token) for token in tokens] if call.return_token_strs else None,
        )
    )


def from_detokenize(reply: bytes) -> bytes:
    """Its call needs no translation. Raises msgspec.DecodeError."""
    return _encode(DetokenizeResponse(prompt=_text(reply).content))


def _written(token: _Piece) -> str:
    return token.piece if isinstance(token.piece, str) else bytes(token.piece).decode(errors="replace")
