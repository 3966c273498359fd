"""The library's generation parameters, built from a client's fields alone."""

import secrets
from typing import Any

from moorage.errors import BadRequest
from moorage.runtimes.generating.port import Messages, ModelInfo, Order
from moorage.runtimes.generating.sampling import biases
from moorage.runtimes.openvino.library import Sampler

Json = dict[str, Any]

SAMPLER = Sampler(temperature=0.8, top_p=0.95, top_k=40, min_p=0.05)
"""llama.cpp's, so that a model speaks alike whichever of the two runs it."""
COLDEST = 1e-4
"""Below it drawing by chance only overflows: the likeliest token is taken."""
INSTEAD = "run the model with engine: llama.cpp for it"


def refuse(order: Order, info: ModelInfo) -> None:
    """Raises BadRequest for what this library cannot do."""
    if order.sampling.logit_bias:
        biases(order.sampling.logit_bias, info)
        raise _unsupported("logit_bias", "logit_bias is not supported by OpenVINO GenAI")
    if order.logprobs:
        param = "top_logprobs" if isinstance(order.prompt, Messages) else "logprobs"
        raise _unsupported(
            param, f"{param}: OpenVINO GenAI gives the logprobs of the tokens written and no others: set 0"
        )


def parameters(order: Order, own: Sampler | None, *, choice: int, max_tokens: int) -> Json:
    """Of one choice of an order. Choice i of a seeded call has the seed + i."""
    request, default = order.sampling, own or SAMPLER
    fields: Json = {"max_new_tokens": max_tokens, "ignore_eos": bool(request.ignore_eos)}
    temperature = default.temperature if request.temperature is None else request.temperature
    top_p = default.top_p if request.top_p is None else request.top_p
    if temperature < COLDEST or top_p <= 0:
        fields["do_sample"] = False
    else:
        fields |= {"do_sample": True, "temperature": temperature, "top_p": min(top_p, 1.0)}
        top_k = default.top_k if request.top_k is None else request.top_k
        if top_k > 0:
            fields["top_k"] = top_k
        min_p = default.min_p if request.min_p is None else request.min_p
        if 0 < min_p < 1:
            fields["min_p"] = min_p
        elif min_p >= 1:
            fields |= {"do_sample": False}
        seed = secrets.randbits(32) if request.seed is None else request.seed + choice
        fields["rng_seed"] = seed % (1 << 32)
    if (penalty := request.repetition_penalty or request.repeat_penalty) is not None:
        fields["repetition_penalty"] = penalty
    for name in ("frequency_penalty", "presence_penalty"):
        if (value := getattr(request, name)) is not None:
            fields[name] = value
    if order.logprobs is not None:
        fields["logprobs"] = 1
    return fields


def _unsupported(param: str, message: str) -> BadRequest:
    return BadRequest(f"{message}; or {INSTEAD}", param=param, code="unsupported_parameter")
