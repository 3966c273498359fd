"""The port of encoders on a loaded model: tokens on a thread where there is much text, numbers in shared steps."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from moorage.runtimes.encoding.graphs.batch import Batcher
from moorage.runtimes.encoding.graphs.model import Model
from moorage.runtimes.encoding.port import Cut, Item, Kind, Numbers, Pair, Profile, Text
from moorage.wire.runtime import EncoderSettings

INLINE_CHARS = 4096
"""Less text is taken apart at once: a millisecond, about what a thread costs."""
PIECE_CHARS = 1 << 16
"""Text that is taken apart between two looks at whether its client still waits."""


class GraphEncoder:
    """construct → start → stop, on one event loop."""

    def __init__(self, model: Model, settings: EncoderSettings) -> None:
        self._model = model
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="tokens")
        self.batcher = Batcher(
            model.step,
            batch_tokens=settings.batch_tokens,
            max_calls=settings.max_calls,
            token_s=model.token_s,
            niceness=settings.niceness,
        )

    @property
    def profile(self) -> Profile:
        return self._model.profile

    def start(self) -> None:
        self.batcher.start()

    def stop(self) -> None:
        self.batcher.stop()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def encode(self, texts: Sequence[Text | Pair], *, special: bool = True, cut: Cut | None = None) -> list[Item]:
        tokenizer = self._model.tokenizer
        if sum(map(_chars, texts)) <= INLINE_CHARS:
            return tokenizer.items(texts, special=special, cut=cut)
        loop = asyncio.get_running_loop()
        items: list[Item] = []
        for piece in _pieces(texts):
            items += await loop.run_in_executor(
                self._threads, lambda piece=piece: tokenizer.items(piece, special=special, cut=cut)
            )
        return items

    async def decode(self, tokens: Sequence[int]) -> str:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._model.tokenizer.text, tokens)

    def pieces(self, tokens: Sequence[int]) -> list[str]:
        return self._model.tokenizer.pieces(tokens)

    async def run(self, kind: Kind, items: Sequence[Item]) -> list[Numbers]:
        return await self.batcher.run(kind, items)


def _chars(text: Text | Pair) -> int:
    if isinstance(text, Pair):
        return len(text.first) + len(text.second)
    return len(text) if isinstance(text, str) else 0


def _pieces(texts: Sequence[Text | Pair]) -> list[list[Text | Pair]]:
    """The texts in order, in lists of about PIECE_CHARS each."""
    pieces: list[list[Text | Pair]] = [[]]
    size = 0
    for text in texts:
        if size >= PIECE_CHARS:
            pieces.append([])
            size = 0
        pieces[-1].append(text)
        size += _chars(text)
    return pieces
