"""What an encoder needs of a tokenizer, in whatever form the model's folder has it."""

from collections.abc import Sequence
from typing import Protocol

from moorage.runtimes.encoding.port import Cut, Item, Pair, Text


class Vocabulary(Protocol):
    """Calls may come from several threads."""

    specials: int
    """Tokens that are added to a text."""
    pair_specials: int
    size: int

    def items(self, texts: Sequence[Text | Pair], *, special: bool, cut: Cut | None) -> list[Item]:
        """Raises BadRequest for a text that is no Unicode, InternalError for a tokenizer that fails."""
        ...

    def text(self, tokens: Sequence[int]) -> str: ...

    def pieces(self, tokens: Sequence[int]) -> list[str]: ...


def kept(first: int, second: int, room: int, cut: Cut) -> tuple[int, int]:
    """How many tokens of a pair's two texts stay, where `room` is left for both.

    The longer text is cut first, as HF's `longest_first`; with `cut.second` the second alone.
    """
    if cut.second is not None:
        return first, min(second, cut.second, max(0, room - first))
    if first + second > room:
        keep = min(first, max(room // 2, room - second))
        return keep, min(second, room - keep)
    return first, second


def cut_tokens(tokens: list[int], cut: Cut | None) -> list[int]:
    """A client's own, to which nothing is added."""
    return tokens if cut is None else shortened(tokens, cut.tokens, cut)


def shortened(tokens: list[int], keep: int, cut: Cut) -> list[int]:
    if len(tokens) <= keep:
        return tokens
    return tokens[:keep] if cut.side == "right" else tokens[len(tokens) - keep :]
