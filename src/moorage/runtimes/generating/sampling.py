"""Fields of a request that name tokens, checked against the model's vocabulary."""

from typing import Any

from moorage.errors import BadRequest
from moorage.runtimes.generating.port import ModelInfo


def token_ids(tokens: list[Any], param: str, info: ModelInfo) -> list[int]:
    """Token ids of the model's vocabulary, or BadRequest."""
    for place, token in enumerate(tokens):
        if not isinstance(token, int) or token >= info.vocabulary:
            raise BadRequest(
                f"{param}[{place}]: {token!r} is not a token id from 0 to {info.vocabulary - 1}",
                param=f"{param}[{place}]",
            )
    return tokens


def biases(logit_bias: dict[str, float], info: ModelInfo) -> dict[int, float]:
    """`logit_bias` by token id, or BadRequest."""
    return {_token(key, info): bias for key, bias in logit_bias.items()}


def _token(key: str, info: ModelInfo) -> int:
    if not (key.isascii() and key.isdigit() and int(key) < info.vocabulary):
        raise BadRequest(
            f"logit_bias: {key!r} is not a token id from 0 to {info.vocabulary - 1}; see /tokenize", param="logit_bias"
        )
    return int(key)
