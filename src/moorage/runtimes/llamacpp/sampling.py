"""The library's sampling parameters, built from a client's fields alone."""

from typing import Any

from moorage.errors import BadRequest
from moorage.runtimes.llamacpp.caller import Work
from moorage.runtimes.llamacpp.channel import Event
from moorage.runtimes.llamacpp.library import Kind
from moorage.runtimes.llamacpp.listener import ModelInfo
from moorage.wire.api.sampling import Sampling

RANDOM_SEED = 0xFFFFFFFF
"""The library's word for "draw a seed"."""

SAME_NAME = ("temperature", "top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty", "ignore_eos")


def sampling(request: Sampling, info: ModelInfo, max_tokens: int | None) -> Event:
    """Fields left out keep the library's defaults, which the model file may set (`general.sampling.*`)."""
    body: Event = {
        "stream": True,
        # Without these a call in its prompt would not be asked whether its client is still there.
        "return_progress": True,
        "max_tokens": min(max_tokens or info.context, info.context),
    }
    for name in SAME_NAME:
        if (value := getattr(request, name)) is not None:
            body[name] = value
    if (penalty := request.repetition_penalty or request.repeat_penalty) is not None:
        body["repeat_penalty"] = penalty
    if request.stop:
        body["stop"] = [request.stop] if isinstance(request.stop, str) else request.stop
    if request.logit_bias:
        body["logit_bias"] = {_token(key, info): bias for key, bias in request.logit_bias.items()}
    return body


def split(kind: Kind, body: Event, request: Sampling, slots: int, prompt: int = 0) -> list[Work]:
    """`n` choices of one prompt as works of at most `slots` choices, which the library samples together.

    The library gives choice i of a call the seed + i; a later group goes on from there.
    """
    n = request.n or 1
    works: list[Work] = []
    for offset in range(0, n, slots):
        choices = min(slots, n - offset)
        part: Event = {**body, "n": choices}
        if request.seed is not None:
            seed = (request.seed + offset) & 0xFFFFFFFF
            part["seed"] = seed - 1 if seed == RANDOM_SEED else seed
        works.append(Work(kind, part, choices=choices, prompt=prompt, offset=prompt * n + offset))
    return works


def _token(key: str, info: ModelInfo) -> str:
    if not (key.isascii() and key.isdigit() and int(key) < info.vocabulary):
        raise BadRequest(
            f"logit_bias: {key!r} is not a token id from 0 to {info.vocabulary - 1}; see /tokenize", param="logit_bias"
        )
    return str(int(key))


def token_ids(tokens: list[Any], param: str, info: ModelInfo) -> list[int]:
    """Token ids of the model's vocabulary, or BadRequest."""
    for place, token in enumerate(tokens):
        if not isinstance(token, int) or token >= info.vocabulary:
            raise BadRequest(
                f"{param}[{place}]: {token!r} is not a token id from 0 to {info.vocabulary - 1}",
                param=f"{param}[{place}]",
            )
    return tokens
