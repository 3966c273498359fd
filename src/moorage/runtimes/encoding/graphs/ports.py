"""What goes into an encoder's graph and what comes out of it, whatever the graph is written in."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moorage.errors import EngineError
from moorage.runtimes.encoding.port import Item

_KNOWN = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
_STATES = ("token_embeddings", "last_hidden_state")
_SENTENCE = ("sentence_embedding",)
_LOGITS = ("logits", "scores", "score")

Whole = type[np.signedinteger[Any]]
Kinds = Mapping[str, Whole]
"""The inputs of a graph, and the whole numbers they take."""


@dataclass(frozen=True)
class Port:
    """An input or output."""

    name: str
    written: str
    """The type of its numbers, in the library's own word."""
    kind: Whole | None
    """What it takes; None where that is no whole number."""
    shape: Sequence[int | None]
    """None for a size that varies."""


@dataclass(frozen=True)
class Outputs:
    """Names of what the graph gives, None for what it does not."""

    states: str | None
    """Hidden states [batch, tokens, width]."""
    sentence: str | None
    """Vectors [batch, width], made as the model says."""
    logits: str | None
    """[batch, labels] or [batch, tokens, labels]."""
    logits_rank: int


def kinds_of(inputs: Iterable[Port], graph: str) -> Kinds:
    """`graph` is how errors name it. Raises EngineError for inputs that are no encoder's."""
    kinds: dict[str, Whole] = {}
    for port in inputs:
        if port.name not in _KNOWN or port.kind is None:
            raise EngineError(
                f"{graph} wants an input {port.name!r} of {port.written}; encoders of texts have {', '.join(_KNOWN)}: "
                "name another graph of the model"
            )
        if any(size is not None for size in port.shape):
            shape = ", ".join("any" if size is None else str(size) for size in port.shape)
            raise EngineError(
                f"{graph} takes {port.name!r} only in the shape [{shape}]; export it with a batch and a sequence that "
                "vary"
            )
        kinds[port.name] = port.kind
    if "input_ids" not in kinds:
        raise EngineError(f"{graph} has no input 'input_ids': it is no encoder of texts")
    return kinds


def outputs_of(outputs: Iterable[Port], graph: str) -> Outputs:
    """Raises EngineError where nothing of it is what an encoder gives."""
    ports = {port.name: port for port in outputs}
    states = next((known for known in _STATES if known in ports), None)
    sentence = next((known for known in _SENTENCE if known in ports), None)
    logits = next((known for known in _LOGITS if known in ports), None)
    if states is sentence is logits is None:
        found = ", ".join(ports)
        raise EngineError(
            f"{graph} gives {found}; an encoder gives one of {', '.join((*_STATES, *_SENTENCE, *_LOGITS))}"
        )
    return Outputs(states, sentence, logits, len(ports[logits].shape) if logits else 0)


def feeds_of(items: Sequence[Item], kinds: Kinds, pad_token: int) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64]]:
    """Each input [batch, tokens], padded at the end; and the mask: 1 for a token."""
    shape = len(items), max(len(item.ids) for item in items)
    ids = np.full(shape, pad_token, np.int64)
    mask = np.zeros(shape, np.int64)
    types = np.zeros(shape, np.int64)
    for row, item in enumerate(items):
        length = len(item.ids)
        ids[row, :length] = item.ids
        mask[row, :length] = 1
        if item.types:
            types[row, :length] = item.types
    positions = np.maximum(mask.cumsum(axis=1) - 1, 0)
    given: dict[str, NDArray[np.int64]] = dict(zip(_KNOWN, (ids, mask, types, positions), strict=True))
    return {name: given[name].astype(kind, copy=False) for name, kind in kinds.items()}, mask
