"""The library behind the port of text generation."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from moorage.runtimes.generating.pieces import Piece, Usage
from moorage.runtimes.generating.port import Messages, ModelInfo, Order, Token
from moorage.runtimes.llamacpp.caller import Caller, Work
from moorage.runtimes.llamacpp.grammar import Grammars
from moorage.runtimes.llamacpp.library import Kind
from moorage.runtimes.llamacpp.listener import Listener
from moorage.runtimes.llamacpp.pieces import pieces
from moorage.runtimes.llamacpp.sampling import sampling, split

Json = dict[str, Any]


class LlamaCppGenerator:
    """Prompts in text or tokens go to the library's completions, messages to its chat, which reads tool calls too."""

    def __init__(self, info: ModelInfo, caller: Caller, listener: Listener) -> None:
        self._info = info
        self._caller = caller
        self._listener = listener
        self._grammars = Grammars(caller, listener)

    @property
    def info(self) -> ModelInfo:
        return self._info

    @property
    def fingerprint(self) -> str:
        return self._caller.library.fingerprint

    async def tokens(self, text: str, *, special: bool) -> list[Token]:
        return await self._listener.tokens(text, special=special)

    async def text(self, tokens: list[int]) -> str:
        return await self._listener.text(tokens)

    async def prompt(self, messages: list[Json], tools: list[Json] | None = None, **more: Any) -> str:
        return await self._listener.prompt(messages, tools, **more)

    async def generate(self, orders: Sequence[Order], usage: Usage) -> AsyncGenerator[list[Piece]]:
        works = [work for order in orders for work in await self._works(order)]
        async with aclosing(self._caller.merged(works)) as batches:
            async for work, events in batches:
                found = [piece for each in events for piece in pieces(each, work, usage)]
                self._caller.counters.tokens += sum(1 for piece in found if piece.text or piece.reasoning)
                if found:
                    yield found

    async def _works(self, order: Order) -> list[Work]:
        body = sampling(order, self._info)
        kind: Kind = "completions"
        if isinstance(order.prompt, Messages):
            kind = "chat"
            prompt = order.prompt
            body["messages"] = prompt.messages
            if prompt.tools:
                body |= {"tools": prompt.tools, "parallel_tool_calls": prompt.parallel_tool_calls}
            if prompt.template:
                body["chat_template_kwargs"] = prompt.template
            if order.logprobs is not None:
                body |= {"logprobs": True, "top_logprobs": max(order.logprobs, 1)}
        else:
            body["prompt"] = order.prompt
            if order.logprobs is not None:
                body["logprobs"] = max(order.logprobs, 1)
        if order.schema is not None:
            body["grammar"] = await self._grammars.of(order.schema, order.schema_param)
        return split(kind, body, order, self._caller.slots.total)
