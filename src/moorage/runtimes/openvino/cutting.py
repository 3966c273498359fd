"""Long texts in parts: the tokenizers that are made from GGUF files keep the last 8192 tokens of a text and drop the
rest without a word."""

import re
from collections.abc import Callable

TOKENS_MAX = 8192
"""As many may have been more."""
_SEAM = re.compile(r"(?<=[^\W\d_])(?= [^\W\d_])")
"""Between a word and the space before the next: there every tokenizer of words begins a new token."""


def in_parts(text: str, encode: Callable[[str], list[int]]) -> list[int]:
    """The tokens of `text`, however many: a part that may have been cut is halved, at a word's end if it has one."""
    tokens = encode(text)
    if len(tokens) < TOKENS_MAX or len(text) < 2:
        return tokens
    middle = _middle(text)
    return in_parts(text[:middle], encode) + in_parts(text[middle:], encode)


def _middle(text: str) -> int:
    half = len(text) // 2
    seam = _SEAM.search(text, half) or _SEAM.search(text)
    return seam.start() if seam and 0 < seam.start() < len(text) else half
