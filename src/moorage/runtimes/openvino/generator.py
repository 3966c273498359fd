"""The library behind the port of text generation: one sequence a choice, batched by the engine."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from moorage.errors import MoorageError
from moorage.runtimes.generating.counters import TextCounters
from moorage.runtimes.generating.markup import Markup
from moorage.runtimes.generating.merging import merged
from moorage.runtimes.generating.pieces import Piece, Usage
from moorage.runtimes.generating.port import Messages, ModelInfo, Order, Prompt, Token
from moorage.runtimes.generating.refusals import context_exceeded
from moorage.runtimes.generating.slots import Slots
from moorage.runtimes.openvino.grammar.refusal import grammar
from moorage.runtimes.openvino.library import Library
from moorage.runtimes.openvino.messages import template_messages
from moorage.runtimes.openvino.pieces import pieces
from moorage.runtimes.openvino.sampling import parameters, refuse
from moorage.runtimes.openvino.stepping import Stepper
from moorage.runtimes.openvino.writer import Writer

Json = dict[str, Any]


@dataclass(frozen=True)
class Choice:
    """One sequence: a choice of an order."""

    order: Order
    tokens: list[int]
    fields: Json
    number: int
    markup: Markup | None
    """How the text of a chat is read; None where it is what it is."""
    shared: asyncio.Event
    """Set when the prompt's first choice has begun to write, or never will: the others find its prompt in the cache."""

    @property
    def index(self) -> int:
        """The client's."""
        return self.order.place * self.order.choices + self.number


class OpenVinoGenerator:
    def __init__(self, info: ModelInfo, library: Library, stepper: Stepper, slots: Slots) -> None:
        self._info = info
        self._library = library
        self._stepper = stepper
        self.slots = slots
        self.counters = TextCounters()

    @property
    def info(self) -> ModelInfo:
        return self._info

    @property
    def fingerprint(self) -> str:
        return self._library.fingerprint

    async def tokens(self, text: str, *, special: bool) -> list[Token]:
        vocabulary = self._library.vocabulary
        return [
            Token(token, vocabulary.piece(token).decode(errors="replace"))
            for token in self._library.tokens(text, special=special)
        ]

    async def text(self, tokens: list[int]) -> str:
        return self._library.vocabulary.text(tokens)

    async def prompt(self, messages: list[Json], tools: list[Json] | None = None, **more: Any) -> str:
        return self._prompt(messages, tools, **more)

    def _prompt(
        self,
        messages: list[Json],
        tools: list[Json] | None = None,
        *,
        add_generation_prompt: bool = True,
        chat_template_kwargs: Json | None = None,
    ) -> str:
        return self._library.prompt(
            template_messages(messages), tools, chat_template_kwargs, add_generation_prompt=add_generation_prompt
        )

    async def generate(self, orders: Sequence[Order], usage: Usage) -> AsyncGenerator[list[Piece]]:
        choices = [choice for order in orders for choice in self._choices(order)]

        def events(choice: Choice) -> AsyncGenerator[list[Piece]]:
            return self._pieces(choice, usage)

        async with aclosing(merged(choices, events, self.slots.total)) as batches:
            async for _, found in batches:
                yield found

    def _choices(self, order: Order) -> list[Choice]:
        """Raises BadRequest."""
        refuse(order, self._info)
        prompt = order.prompt
        if isinstance(prompt, Messages):
            prompt = self._prompt(prompt.messages, prompt.tools, chat_template_kwargs=prompt.template)
        tokens = self._read(prompt)
        room = self._info.context - len(tokens)
        if room < 1:
            raise context_exceeded(len(tokens), self._info.context)
        shared = asyncio.Event()
        most = min(order.max_tokens, room)
        return [
            Choice(
                order=order,
                tokens=tokens,
                fields=self._fields(order, number, most),
                number=number,
                markup=self._markup(order, prompt),
                shared=shared,
            )
            for number in range(order.choices)
        ]

    def _fields(self, order: Order, number: int, most: int) -> Json:
        fields = parameters(order, self._library.sampler, choice=number, max_tokens=most)
        fields["stop_token_ids"] = set(self._library.ends)
        if order.schema is not None:
            # Beyond the grammar's end, a model that may not end would write whatever it likes.
            fields |= {"grammar": grammar(order.schema, order.schema_param), "ignore_eos": False}
        return fields

    def _read(self, prompt: Prompt) -> list[int]:
        if isinstance(prompt, list):
            return prompt
        least = self._library.vocabulary.least_tokens(prompt)
        if least > self._info.context:
            raise context_exceeded(f"at least {least}", self._info.context)
        return self._library.tokens(prompt, special=True)

    def _markup(self, order: Order, prompt: Prompt) -> Markup | None:
        if not isinstance(order.prompt, Messages) or order.schema is not None or not isinstance(prompt, str):
            return None
        return Markup(self._library.template, prompt, tools=bool(order.prompt.tools))

    async def _pieces(self, choice: Choice, usage: Usage) -> AsyncGenerator[list[Piece]]:
        if choice.number:
            await choice.shared.wait()
        await self.slots.acquire(1)
        try:
            async with aclosing(self._written(choice, usage)) as batches:
                async for batch in batches:
                    choice.shared.set()
                    yield batch
        finally:
            choice.shared.set()
            self.slots.release(1)

    async def _written(self, choice: Choice, usage: Usage) -> AsyncGenerator[list[Piece]]:
        counters, order = self.counters, choice.order
        counters.calls += 1
        writer = Writer(self._library.vocabulary, order.stops, logprobs=order.logprobs is not None)
        run = self._stepper.submit(choice.tokens, choice.fields)
        written = 0
        try:
            async with aclosing(run.outputs()) as outputs:
                async for output in outputs:
                    written += len(output.tokens)
                    counters.tokens += len(output.tokens)
                    found = writer.feed(output.tokens, output.logprobs)
                    finish = "stop" if found.stopped else output.finish
                    if finish is not None and not found.stopped:
                        last = writer.end()
                        found = found + last
                        finish = "stop" if last.stopped else finish
                    if finish is not None:
                        usage.add(choice.order.place, read=len(choice.tokens), cached=None, written=written)
                    # An empty batch tells that the prompt is read.
                    yield pieces(choice.index, found, finish, choice.markup)
                    if finish is not None:
                        break
            counters.finished += 1
        except MoorageError:
            counters.failed += 1
            raise
        except (asyncio.CancelledError, GeneratorExit):
            counters.cancelled += 1
            raise
        finally:
            self._stepper.cancel(run)
