"""The library's sampling parameters, built from a client's fields alone."""

from moorage.runtimes.generating.port import ModelInfo, Order
from moorage.runtimes.generating.sampling import biases
from moorage.runtimes.llamacpp.caller import Work
from moorage.runtimes.llamacpp.channel import Event
from moorage.runtimes.llamacpp.library import Kind

RANDOM_SEED = 0xFFFFFFFF
"""The library's word for "draw a seed"."""

SAME_NAME = ("temperature", "top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty", "ignore_eos")


def sampling(order: Order, info: ModelInfo) -> Event:
    """Fields left out keep the library's defaults, which the model file may set (`general.sampling.*`)."""
    request = order.sampling
    body: Event = {
        "stream": True,
        # Without these a call in its prompt would not be asked whether its client is still there.
        "return_progress": True,
        "max_tokens": order.max_tokens,
    }
    for name in SAME_NAME:
        if (value := getattr(request, name)) is not None:
            body[name] = value
    if (penalty := request.repetition_penalty or request.repeat_penalty) is not None:
        body["repeat_penalty"] = penalty
    if order.stops:
        body["stop"] = order.stops
    if request.logit_bias:
        body["logit_bias"] = {str(token): bias for token, bias in biases(request.logit_bias, info).items()}
    return body


def split(kind: Kind, body: Event, order: Order, slots: int) -> list[Work]:
    """`n` choices of one prompt as works of at most `slots` choices, which the library samples together.

    The library gives choice i of a call the seed + i; a later group goes on from there.
    """
    n, seed, place = order.choices, order.sampling.seed, order.place
    works: list[Work] = []
    for offset in range(0, n, slots):
        choices = min(slots, n - offset)
        part: Event = {**body, "n": choices}
        if seed is not None:
            own = (seed + offset) & 0xFFFFFFFF
            part["seed"] = own - 1 if own == RANDOM_SEED else own
        works.append(Work(kind, part, choices=choices, prompt=place, offset=place * n + offset))
    return works
