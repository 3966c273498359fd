"""What the routes of encoders need of a library: texts to tokens, tokens to numbers."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from moorage.wire.names import Task

Numbers = NDArray[np.float32]
Kind = Literal["embed", "classify", "token_embed", "token_classify"]
"""What is asked of a text: one vector, one row of label scores, or one of these for each token."""
KINDS: tuple[Kind, ...] = ("embed", "classify", "token_classify", "token_embed")
"""In the order in which a model is taken to be made for them."""
Activation = Literal["sigmoid", "softmax", "identity"]
"""How a row of label scores becomes what a client reads."""

Text = str | list[int]
"""A string, or the client's own tokens, to which nothing is added."""


class Pair(NamedTuple):
    """Two texts that a cross-encoder reads at once: what is asked, and what may answer it."""

    first: str
    second: str


@dataclass(frozen=True)
class Cut:
    """How much of a longer text is kept, in tokens with those the model adds, and which side is dropped."""

    tokens: int
    side: Literal["left", "right"] = "right"
    second: int | None = None
    """Of a pair: tokens of the second text alone, which is then the only one to be cut."""


class Item(NamedTuple):
    """A text or pair as the model reads it."""

    ids: Sequence[int]
    types: Sequence[int] = ()
    """Which of a pair's two texts a token belongs to; empty where all are of one."""
    source: Text | Pair | None = None
    """What was read, for libraries that put pairs together themselves."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What a loaded encoder is."""

    task: Task
    kinds: frozenset[Kind]
    context: int
    """Tokens of the longest text, those the model adds included."""
    vocabulary: int
    """Token ids are below it."""
    specials: int = 0
    """Tokens the model adds to a text."""
    pair_specials: int = 0
    width: int = 0
    """Numbers of an embedding, 0 where it gives none."""
    shorter: Collection[int] = ()
    """Sizes to which an embedding may be cut: of Matryoshka models only."""
    normalized: bool = True
    """Whether clients get its embeddings as unit vectors."""
    prompts: Mapping[str, str] = field(default_factory=dict[str, str])
    """By name, what to put before a text."""
    default_prompt: str | None = None
    labels: tuple[str, ...] = ()
    """Of a classifier, in the order of its outputs."""
    label_activation: Activation = "softmax"
    score_activation: Activation = "sigmoid"

    @property
    def first_kind(self) -> Kind:
        """What a model gives that is asked for nothing in particular."""
        return next(kind for kind in KINDS if kind in self.kinds)


class Encoder(Protocol):
    """A loaded model. Its methods are cancelled when the client leaves, and then drop what still waits."""

    @property
    def profile(self) -> Profile: ...

    async def encode(self, texts: Sequence[Text | Pair], *, special: bool = True, cut: Cut | None = None) -> list[Item]:
        """Texts in tokens, as long as they are where there is no `cut`. Raises BadRequest."""
        ...

    async def run(self, kind: Kind, items: Sequence[Item]) -> list[Numbers]:
        """One array an item, in their order: [width], [labels], [tokens, width] or [tokens, labels].

        Embeddings need not be normalised nor scores activated: the routes do both, as the profile says. Items fit the
        context. Raises MoorageError.
        """
        ...


class TextEncoder(Encoder, Protocol):
    """An encoder whose vocabulary is at hand."""

    async def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, those that the model adds left out."""
        ...

    def pieces(self, tokens: Sequence[int]) -> list[str]:
        """How the vocabulary writes each token."""
        ...
