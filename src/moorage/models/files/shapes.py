"""Sizes of a text model told from the names and shapes of its weights, where no config.json says them."""

import re
from collections.abc import Iterable
from typing import NamedTuple

_LAYER = re.compile(r"(?:^|[./])(?:layers?|h|blocks?)[./_](\d{1,4})[./]")
_WORDS = re.compile(r"(?:word_embeddings|embed_tokens|wte|tok_embeddings)\.weight")
_POSITIONS = re.compile(r"position_embeddings\.weight")
_FROM_PAD = re.compile(r"roberta|mpnet|camembert")


class Sizes(NamedTuple):
    vocabulary: int | None = None
    embedding_length: int | None = None
    context_length: int | None = None
    layers: int | None = None


def sizes(weights: Iterable[tuple[str, tuple[int, ...]]]) -> Sizes:
    """None for what no name tells; exporters rename matrices, embeddings and layer norms keep their names."""
    found = Sizes()
    layers: set[int] = set()
    for name, shape in weights:
        if match := _LAYER.search(name):
            layers.add(int(match.group(1)))
        if len(shape) != 2 or min(shape) < 2:  # one column is a quantised matrix's scales
            continue
        if _WORDS.search(name):
            found = found._replace(vocabulary=shape[0], embedding_length=shape[1])
        elif _POSITIONS.search(name):
            found = found._replace(context_length=max(1, shape[0] - (2 if _FROM_PAD.search(name) else 0)))
    return found._replace(layers=len(layers) or None)
