"""Texts in tokens by a tokenizer that is itself an IR, as exporters write it: the one module that needs OpenVINO GenAI.

It is asked for bare texts, and what the model adds to them is put around here: so texts can be cut, and pairs told
which token belongs to which of them.
"""

from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from moorage.errors import BadRequest, EngineError, InternalError
from moorage.runtimes.encoding.graphs.vocabulary import cut_tokens, kept, shortened
from moorage.runtimes.encoding.port import Cut, Item, Pair, Text
from moorage.runtimes.host.quiet import silence_openvino

GRAPH = "openvino_tokenizer.xml"
_ONE, _OTHER = "a", "b"
"""Texts by which is learnt what is added to texts."""

silence_openvino()


class _Frame(NamedTuple):
    """Tokens before, between and after."""

    before: list[int]
    between: list[int]
    after: list[int]

    @property
    def size(self) -> int:
        return sum(map(len, self))


class IrTokenizer:
    """As encoding.graphs.vocabulary.Vocabulary has it."""

    def __init__(self, folder: Path, *, pairs: bool, lower: bool = False) -> None:
        """`pairs` is whether it must put two texts together. Raises EngineError."""
        path = repr(str(folder / GRAPH))
        try:
            import openvino_genai
        except ImportError as error:
            raise EngineError(
                f"{str(folder)!r} has its tokenizer only as {GRAPH}, which OpenVINO GenAI reads: {error}; install it "
                "with pip install 'moorage[openvino]', or put the model's tokenizer.json beside its config.json"
            ) from error
        try:
            self._tokenizer = openvino_genai.Tokenizer(str(folder), INFERENCE_NUM_THREADS=1)
            self._words = self._tokenizer.get_vocab_vector()
        except RuntimeError as error:
            said = str(error).strip().splitlines()[-1]
            raise EngineError(f"{path} is no tokenizer that can be read: {said}; get it again") from error
        if pairs and not self._tokenizer.supports_paired_input():
            raise EngineError(
                f"{path} reads single texts, a reranker's reads pairs: export it again for two inputs, or put the "
                "model's tokenizer.json beside its config.json"
            )
        self._lower = lower
        self._single = self._learnt(path)
        self._pair = self._learnt_of_pairs(path) if pairs else self._single
        self.specials = self._single.size
        self.pair_specials = self._pair.size
        self.size = len(self._words)

    def items(self, texts: Sequence[Text | Pair], *, special: bool, cut: Cut | None) -> list[Item]:
        strings: list[str] = []
        for text in texts:
            if not isinstance(text, list):
                strings += [text] if isinstance(text, str) else [*text]
        bare = iter(self._bare(strings))
        found: list[Item] = []
        for text in texts:
            if isinstance(text, list):
                found.append(Item(cut_tokens(text, cut)))
            elif isinstance(text, str):
                found.append(self._item(next(bare), cut, special=special))
            else:
                found.append(self._paired(next(bare), next(bare), cut))
        return found

    def text(self, tokens: Sequence[int]) -> str:
        return self._tokenizer.decode([list(tokens)], skip_special_tokens=False)[0]

    def pieces(self, tokens: Sequence[int]) -> list[str]:
        return [self._words[token] for token in tokens]

    def _item(self, tokens: list[int], cut: Cut | None, *, special: bool) -> Item:
        frame = self._single
        if not special:
            return Item(array("i", cut_tokens(tokens, cut)))
        if cut is not None:
            tokens = shortened(tokens, max(0, cut.tokens - frame.size), cut)
        return Item(array("i", [*frame.before, *tokens, *frame.after]))

    def _paired(self, first: list[int], second: list[int], cut: Cut | None) -> Item:
        frame = self._pair
        if cut is not None:
            keep_first, keep_second = kept(len(first), len(second), max(0, cut.tokens - frame.size), cut)
            first, second = shortened(first, keep_first, cut), shortened(second, keep_second, cut)
        begin, end = [*frame.before, *first, *frame.between], [*second, *frame.after]
        return Item(array("i", begin + end), array("b", [0] * len(begin) + [1] * len(end)))

    def _bare(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of each text, without any that are added."""
        if not texts:
            return []
        given = [text.lower() for text in texts] if self._lower else list(texts)
        try:
            for text in given:
                text.encode()
        except UnicodeEncodeError as error:
            raise BadRequest("a text has half of a surrogate pair, which is no Unicode") from error
        try:
            encoded = self._tokenizer.encode(given, add_special_tokens=False)
        except RuntimeError as error:
            said = str(error).strip().splitlines()[-1]
            raise InternalError(f"the model's tokenizer failed: {said}; get its {GRAPH} again") from error
        rows, mask = encoded.input_ids.data, encoded.attention_mask.data != 0
        return [row[which].tolist() for row, which in zip(rows, mask, strict=True)]

    def _learnt(self, path: str) -> _Frame:
        ((one,), (whole,)) = self._bare([_ONE]), self._tokenizer.encode([_ONE]).input_ids.data.tolist()
        place = _place(one, whole, path)
        return _Frame(whole[:place], [], whole[place + len(one) :])

    def _learnt_of_pairs(self, path: str) -> _Frame:
        one, other = self._bare([_ONE, _OTHER])
        (whole,) = self._tokenizer.encode([_ONE], [_OTHER]).input_ids.data.tolist()
        first = _place(one, whole, path)
        behind = first + len(one)
        second = behind + _place(other, whole[behind:], path)
        return _Frame(whole[:first], whole[behind:second], whole[second + len(other) :])


def _place(part: list[int], whole: list[int], path: str) -> int:
    """Where in `whole` the part begins. Raises EngineError where it is not there."""
    for place in range(len(whole) - len(part) + 1):
        if part and whole[place : place + len(part)] == part:
            return place
    raise EngineError(f"{path} is no tokenizer that can be read: it gives {whole} for a text of the tokens {part}")
