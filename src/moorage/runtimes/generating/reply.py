"""One generating call from orders to reply: streamed as server-sent events, or folded into one body."""

import secrets
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any, Protocol

from moorage.errors import MoorageError
from moorage.runtimes.generating.pieces import Piece, Usage
from moorage.runtimes.generating.port import Generator, Order
from moorage.runtimes.host.asgi import Send, encode, reply_json, start_events
from moorage.wire.sse import DONE, event

Json = dict[str, Any]


class Call(Protocol):
    """What chat and text completions have in common."""

    stream_object: str
    whole_object: str
    id_prefix: str

    async def orders(self, generator: Generator, usage: Usage) -> list[Order]: ...
    def chunk_choices(self, piece: Piece) -> Iterator[Json]: ...
    def fold(self, pieces: list[Piece]) -> list[Json]: ...


class Generation:
    def __init__(self, call: Call, model: str, generator: Generator) -> None:
        self._call = call
        self._generator = generator
        self._usage = Usage()
        self._head: Json = {
            "id": call.id_prefix + secrets.token_hex(12),
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": generator.fingerprint,
        }

    async def whole(self, send: Send) -> None:
        gathered: list[Piece] = []
        async with aclosing(self._pieces()) as batches:
            async for batch in batches:
                gathered += batch
        body = {
            **self._head,
            "object": self._call.whole_object,
            "choices": self._call.fold(gathered),
            "usage": self._usage.body(),
        }
        await reply_json(send, body)

    async def stream(self, send: Send, *, include_usage: bool) -> None:
        """Nothing is sent before there is a token, so that what fails earlier is an error with its status."""
        head = encode({**self._head, "object": self._call.stream_object})[:-1]
        before = b"data: " + head + b',"choices":['
        behind = b'],"usage":null}\n\n' if include_usage else b"]}\n\n"
        started = False
        try:
            async with aclosing(self._pieces()) as batches:
                async for batch in batches:
                    entries = [entry for piece in batch for entry in self._call.chunk_choices(piece)]
                    if not entries:
                        continue
                    if not started:
                        await start_events(send)
                        started = True
                    data = b"".join(before + encode(entry) + behind for entry in entries)
                    await send({"type": "http.response.body", "body": data, "more_body": True})
        except MoorageError as error:
            if not started:
                raise
            await send({"type": "http.response.body", "body": event(encode(error.openai()))})
            return
        if not started:
            await start_events(send)
        usage = encode(self._usage.body())
        last = b"data: " + head + b',"choices":[],"usage":' + usage + b"}\n\n" if include_usage else b""
        await send({"type": "http.response.body", "body": last + DONE})

    async def _pieces(self) -> AsyncGenerator[list[Piece]]:
        orders = await self._call.orders(self._generator, self._usage)
        if not orders:
            return
        async with aclosing(self._generator.generate(orders, self._usage)) as batches:
            async for batch in batches:
                yield batch
