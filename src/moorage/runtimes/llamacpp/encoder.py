"""A GGUF encoder behind the port of encoders: embeddings, and scores of pairs where the file ends in one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, cast

import numpy as np

from moorage.errors import BadRequest
from moorage.runtimes.encoding.port import Cut, Item, Kind, Numbers, Pair, Profile, Text
from moorage.runtimes.generating.port import ModelInfo
from moorage.runtimes.llamacpp.caller import Caller
from moorage.runtimes.llamacpp.listener import Listener
from moorage.wire.names import Task

T = TypeVar("T")
R = TypeVar("R")


class LlamaCppEncoder:
    """One library call a text, so that a client that leaves stops a long batch."""

    def __init__(self, profile: Profile, caller: Caller, listener: Listener) -> None:
        self._profile = profile
        self._caller = caller
        self._listener = listener

    @classmethod
    async def of(cls, task: Task, info: ModelInfo, caller: Caller, listener: Listener) -> "LlamaCppEncoder":
        specials = len(await listener.tokens("", special=True))
        profile = Profile(
            task=task,
            kinds=frozenset({"classify" if task == "rerank" else "embed"}),
            context=info.context,
            vocabulary=info.vocabulary,
            specials=specials,
            # One more than a text has, as a rule: what stands between the two.
            pair_specials=specials + 1,
            width=info.embedding_length,
        )
        return cls(profile, caller, listener)

    @property
    def profile(self) -> Profile:
        return self._profile

    async def encode(self, texts: Sequence[Text | Pair], *, special: bool = True, cut: Cut | None = None) -> list[Item]:
        """Of a pair the tokens are counted: the library itself puts it together."""
        return await self._each(texts, lambda text: self._encoded(text, special=special, cut=cut))

    async def run(self, kind: Kind, items: Sequence[Item]) -> list[Numbers]:
        if kind not in self._profile.kinds:
            raise BadRequest(f"task: llama.cpp gives one result a text, no {kind}", param="task")
        return await self._each(items, self._score if kind == "classify" else self._vector)

    async def _encoded(self, text: Text | Pair, *, special: bool, cut: Cut | None) -> Item:
        if isinstance(text, Pair):
            return await self._pair(text, cut)
        ids = text if isinstance(text, list) else await self._tokens(text, special=special)
        if cut is not None and len(ids) > cut.tokens:
            ids = self._cut(ids, cut) if isinstance(text, str) and special else _side(ids, cut.tokens, cut)
        return Item(ids, source=text)

    async def _pair(self, pair: Pair, cut: Cut | None) -> Item:
        first = await self._tokens(pair.first, special=False)
        second = await self._tokens(pair.second, special=False)
        room = None if cut is None else max(0, cut.tokens - self._profile.pair_specials - len(first))
        if cut is not None and cut.second is not None:
            room = min(room or 0, cut.second)
        if cut is not None and room is not None and len(second) > room:
            second = _side(second, room, cut)
            pair = Pair(pair.first, await self._listener.text(second))
        # Ids of no use to the library; there are as many as it will read.
        return Item([*first, *second, *[0] * self._profile.pair_specials], source=pair)

    def _cut(self, ids: list[int], cut: Cut) -> list[int]:
        """The text's own tokens shortened between those the model adds at its ends."""
        specials = self._profile.specials
        head, tail = specials - specials // 2, specials // 2
        inner = ids[head : len(ids) - tail]
        return [*ids[:head], *_side(inner, cut.tokens - specials, cut), *ids[len(ids) - tail :]]

    async def _tokens(self, text: str, *, special: bool) -> list[int]:
        return [token.id for token in await self._listener.tokens(text, special=special)]

    async def _vector(self, item: Item) -> Numbers:
        reply = await self._caller.once("embeddings", {"input": list(item.ids), "encoding_format": "float"})
        return np.asarray(reply["data"][0]["embedding"], np.float32)

    async def _score(self, item: Item) -> Numbers:
        if not isinstance(item.source, Pair):
            raise BadRequest("input: this model reads a query and a document at once; use /rerank or /score")
        pair = item.source
        reply = await self._caller.once("rerank", {"query": pair.first, "documents": [pair.second]})
        return np.asarray([reply["results"][0]["relevance_score"]], np.float32)

    async def _each(self, given: Sequence[T], work: Callable[[T], Awaitable[R]]) -> list[R]:
        """In order; at most as many at once as there are slots."""
        results: list[R | None] = [None] * len(given)
        pending = iter(enumerate(given))

        async def lane() -> None:
            for place, one in pending:
                results[place] = await work(one)

        lanes = [asyncio.create_task(lane()) for _ in range(min(self._caller.slots.total, len(given)))]
        try:
            await asyncio.gather(*lanes)
        finally:
            for task in lanes:
                task.cancel()
        return cast("list[Any]", results)


def _side(ids: list[int], count: int, cut: Cut) -> list[int]:
    return ids[:count] if cut.side == "right" else ids[len(ids) - count :]
