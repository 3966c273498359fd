"""Texts in the model's tokens by its tokenizer.json: the one module that imports tokenizers."""

from array import array
from collections.abc import Sequence
from pathlib import Path

import tokenizers

from moorage.errors import BadRequest, EngineError, InternalError, ModelError
from moorage.models.files.opening import whole
from moorage.runtimes.encoding.graphs.vocabulary import cut_tokens, kept
from moorage.runtimes.encoding.port import Cut, Item, Pair, Text

BYTES_MAX = 256 * 1024 * 1024
"""Of the file; those of a quarter million tokens have 17 MB."""


class Tokenizer:
    """As vocabulary.Vocabulary has it."""

    def __init__(self, path: Path, *, lower: bool = False) -> None:
        """Raises EngineError for a file that is broken or of another kind."""
        try:
            self._tokenizer = tokenizers.Tokenizer.from_buffer(whole(path, BYTES_MAX))
        except ModelError as error:
            raise EngineError(error.message) from error
        except Exception as error:  # the library raises nothing narrower
            raise EngineError(f"{str(path)!r} is no tokenizer that can be read: {error}; get the file again") from error
        # Both are ours: padding to a batch, and cutting only where a call allows it.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._lower = lower
        self.specials = self._tokenizer.num_special_tokens_to_add(False)
        self.pair_specials = self._tokenizer.num_special_tokens_to_add(True)
        self.size = self._tokenizer.get_vocab_size()

    def items(self, texts: Sequence[Text | Pair], *, special: bool, cut: Cut | None) -> list[Item]:
        strings = [text for text in texts if not isinstance(text, list)]
        whole = iter(self._encoded(strings, special=special))
        return [
            Item(cut_tokens(text, cut)) if isinstance(text, list) else self._item(text, next(whole), cut)
            for text in texts
        ]

    def text(self, tokens: Sequence[int]) -> str:
        return self._tokenizer.decode(list(tokens), skip_special_tokens=False)

    def pieces(self, tokens: Sequence[int]) -> list[str]:
        return [self._tokenizer.id_to_token(token) or "" for token in tokens]

    def _encoded(self, texts: Sequence[str | Pair], *, special: bool) -> list[tokenizers.Encoding]:
        given = [self._lowered(text) for text in texts]
        try:
            return self._tokenizer.encode_batch_fast(given, add_special_tokens=special)
        except (UnicodeEncodeError, TypeError) as error:
            raise BadRequest("a text has half of a surrogate pair, which is no Unicode") from error
        except Exception as error:  # the library raises nothing narrower
            raise InternalError(f"the model's tokenizer failed: {error}; get its tokenizer.json again") from error

    def _lowered(self, text: str | Pair) -> str | tuple[str, str]:
        if isinstance(text, str):
            return text.lower() if self._lower else text
        return (text.first.lower(), text.second.lower()) if self._lower else (text.first, text.second)

    def _item(self, text: str | Pair, whole: tokenizers.Encoding, cut: Cut | None) -> Item:
        pair = isinstance(text, Pair)
        if cut is not None and (len(whole) > cut.tokens or (pair and cut.second is not None)):
            whole = self._cut_pair(text, cut) if pair else self._cut_one(text, cut)
        # Large calls are held whole: four bytes a token, where a list has 36.
        return Item(array("i", whole.ids), array("b", whole.type_ids) if pair else ())

    def _cut_one(self, text: str, cut: Cut) -> tokenizers.Encoding:
        (bare,) = self._encoded([text], special=False)
        bare.truncate(max(0, cut.tokens - self.specials), direction=cut.side)
        return self._tokenizer.post_process(bare)

    def _cut_pair(self, text: Pair, cut: Cut) -> tokenizers.Encoding:
        first, second = self._encoded([text.first, text.second], special=False)
        room = max(0, cut.tokens - self.pair_specials)
        keep_first, keep_second = kept(len(first), len(second), room, cut)
        for encoding, keep in ((first, keep_first), (second, keep_second)):
            if keep < len(encoding):
                encoding.truncate(keep, direction=cut.side)
        return self._tokenizer.post_process(first, second)
