"""Tokens as bytes: which text they make, which of them are none, which end a reply."""

import re
from collections.abc import Iterable, Mapping

from moorage.runtimes.generating.markup import TAGS

ENDS = frozenset(
    {"<|endoftext|>", "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|end|>", "<|return|>"}
    | {"<|call|>", "<end_of_turn>", "<EOT>", "</s>", "<｜end▁of▁sentence｜>"}
)
"""Special tokens with which the families of models end a turn or a text; files name only one of theirs."""


_SPACE = "▁".encode()
_BYTE = re.compile(rb"<0x([0-9A-F]{2})>")


def plain(vocabulary: Mapping[bytes, int]) -> dict[int, bytes]:
    """Token ids with the bytes they stand for. SentencePiece's own way to write spaces and bytes is undone."""
    sentencepiece = b"<0x00>" in vocabulary and b"<0xFF>" in vocabulary
    if not sentencepiece:
        return {token: piece for piece, token in vocabulary.items()}
    return {token: _plain(piece) for piece, token in vocabulary.items()}


def _plain(piece: bytes) -> bytes:
    single = _BYTE.fullmatch(piece)
    return bytes([int(single[1], 16)]) if single else piece.replace(_SPACE, b" ")


class Vocabulary:
    """Built once from what the tokenizer says of itself."""

    def __init__(self, pieces: Mapping[int, bytes], specials: Iterable[int], size: int) -> None:
        """`specials` are not shown to clients, but for those that say what the text around them is."""
        self.size = size
        """Token ids are below it."""
        marks = {tag.encode() for tag in TAGS}
        self.specials = frozenset(token for token in specials if pieces.get(token) not in marks)
        self._pieces = pieces
        self._longest = max((len(piece) for piece in pieces.values()), default=1)

    def piece(self, token: int) -> bytes:
        return self._pieces.get(token, b"")

    def shown(self, token: int) -> bytes:
        """What a reply shows of a token: nothing of a special one."""
        return b"" if token in self.specials else self._pieces.get(token, b"")

    def text(self, tokens: Iterable[int]) -> str:
        """All of it, special tokens too."""
        return b"".join(map(self.piece, tokens)).decode(errors="replace")

    def ends(self) -> set[int]:
        """The special tokens that end what a model writes."""
        return {token for token in self.specials if self._pieces.get(token, b"").decode(errors="replace") in ENDS}

    def least_tokens(self, text: str) -> int:
        """At least so many tokens has a text: cheap, for texts far too long."""
        return len(text.encode()) // max(self._longest, 1)
