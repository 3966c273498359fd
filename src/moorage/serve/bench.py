"""The load generator: calls with prompts of a given length at one or two OpenAI-compatible servers, and their times.

A closed loop: each of `concurrency` clients sends its next call when its last one ended. With two servers the rounds
are interleaved and their order alternates (AB, BA, AB, …), so that what drifts meets both alike.
"""

import asyncio
import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from moorage.errors import MoorageError, UpstreamBroken
from moorage.http.refusal import Refused, check, said
from moorage.wire.sse import EventSplitter, data_of

if TYPE_CHECKING:
    from moorage.http.client import Client, Reply

PATH = "/v1/chat/completions"
TOKENS_PER_WORD = 1.3
"""Where a server does not say how long a prompt was."""

_TEXT = """
sea ship wind rope sail harbour light stone water bread house night river door tree bird cloud road hand table
window garden letter paper winter summer morning evening market bridge street field horse mountain island forest
fire glass silver iron salt green blue white black small large quiet early late old new warm cold
"""
WORDS = _TEXT.split()


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What is sent."""

    concurrency: int = 1
    requests: int = 16
    """Calls of one round at one server."""
    rounds: int = 5
    warmup: int = 2
    """Calls before the first round that are not measured, at each server."""
    prompt_tokens: int = 128
    output_tokens: int = 64
    shared_prefix_tokens: int = 0
    """So many of the prompt's tokens are the same in every call; the rest differs from the first word on."""
    stream: bool = True
    ignore_eos: bool = False
    """Ask for exactly the output length, where the engine knows how (vLLM, SGLang, llama.cpp)."""
    seed: int = 0
    timeout_s: float = 300.0


@dataclass(frozen=True, kw_only=True)
class Side:
    """A server under load."""

    url: str
    model: str
    api_key: str = ""
    strict: bool = False
    """It refuses fields that are not OpenAI's, such as `ignore_eos`."""


@dataclass
class Sample:
    """One call. Times in seconds since it was sent; None is not measured."""

    first_s: float | None = None
    gaps_s: list[float] = field(default_factory=list[float])
    """Between the arrivals of tokens; those that came in one piece are 0 apart."""
    total_s: float = 0.0
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    error: str | None = None
    lost: bool = False
    """The connection broke before anything was answered."""

    @property
    def per_token_s(self) -> float | None:
        """Mean time of a token behind the first."""
        if self.first_s is None or self.output_tokens is None or self.output_tokens < 2:
            return None
        return (self.total_s - self.first_s) / (self.output_tokens - 1)


@dataclass
class Round:
    """The calls of one round at one server."""

    side: int
    number: int
    samples: list[Sample] = field(default_factory=list[Sample])
    wall_s: float = 0.0
    cpu_s: float = 0.0
    """Processor time of this generator meanwhile."""
    complete: bool = False
    """False for the one that was interrupted."""


class Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: Any = None


class Choice(msgspec.Struct):
    delta: Delta = msgspec.field(default_factory=Delta)
    finish_reason: str | None = None


class Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Chunk(msgspec.Struct):
    choices: list[Choice] = []
    usage: Usage | None = None
    error: Any = None


_decode = msgspec.json.Decoder(Chunk).decode


class Bench:
    """Construct → `run`; `rounds` holds what was measured, also after an interruption."""

    def __init__(self, workload: Workload, sides: list[Side]) -> None:
        self.workload = workload
        self.sides = sides
        self.rounds: list[Round] = []
        self.prompt_is_calibrated = False
        self._on_call: Callable[[], None] = lambda: None
        self._words = max(1, round(workload.prompt_tokens / TOKENS_PER_WORD))
        self._words_shared = round(workload.shared_prefix_tokens / TOKENS_PER_WORD)

    @property
    def calls(self) -> int:
        """How many `run` makes and reports to `on_call`."""
        return len(self.sides) * (self.workload.warmup + self.workload.rounds * self.workload.requests)

    async def run(self, client: "Client", on_call: Callable[[], None] = lambda: None) -> None:
        """Raises MoorageError when the first server refuses a call, or one fails every call of its warm-up."""
        self._on_call = on_call
        await self._calibrate(client)
        for index in range(len(self.sides)):
            warm = Round(index, -1)
            await self._round(client, warm, self.workload.warmup)
            if warm.samples and all(sample.error for sample in warm.samples):
                raise UpstreamBroken(f"{self.sides[index].url} failed every warm-up call: {warm.samples[0].error}")
        for number in range(self.workload.rounds):
            order = range(len(self.sides)) if number % 2 == 0 else reversed(range(len(self.sides)))
            for index in order:
                one = Round(index, number)
                self.rounds.append(one)
                await self._round(client, one, self.workload.requests)
                one.complete = True

    async def _round(self, client: "Client", one: Round, requests: int) -> None:
        began, cpu = time.perf_counter(), time.process_time()
        numbers = iter(range(requests))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.workload.concurrency, requests)):
                    group.create_task(self._client(client, one, numbers))
        finally:
            one.wall_s = time.perf_counter() - began
            one.cpu_s = time.process_time() - cpu

    async def _client(self, client: "Client", one: Round, numbers: Iterator[int]) -> None:
        for number in numbers:
            prompt = self._prompt(f"{self.workload.seed}/{one.side}/{one.number}/{number}")
            one.samples.append(await self._call(client, self.sides[one.side], prompt))
            self._on_call()

    async def _call(self, client: "Client", side: Side, prompt: str) -> Sample:
        """One measured call; what goes wrong is in the sample.

        A server may close an idle connection in the moment it is taken again: such a call is made once more.
        """
        sample = await self._attempt(client, side, prompt)
        return await self._attempt(client, side, prompt) if sample.lost else sample

    async def _attempt(self, client: "Client", side: Side, prompt: str) -> Sample:
        body = self._body(side, prompt, self.workload.output_tokens, stream=self.workload.stream)
        sample, answered = Sample(), False
        began = time.perf_counter()
        try:
            async with client.call(
                side.url, "POST", PATH, body=body, token=side.api_key, timeout_s=self.workload.timeout_s
            ) as reply:
                answered = True
                await check(reply)
                if self.workload.stream:
                    await _read_stream(reply, sample, began)
                else:
                    _count(sample, _chunk(await reply.read()))
            sample.total_s = time.perf_counter() - began
        except Refused as refused:
            sample.error = f"{refused.answered}: {refused.message}"
        except MoorageError as error:
            sample.error = error.message
            sample.lost = isinstance(error, UpstreamBroken) and not answered
        return sample

    def _body(self, side: Side, prompt: str, output_tokens: int, *, stream: bool) -> bytes:
        body: dict[str, Any] = {
            "model": side.model,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": output_tokens,
            "temperature": 0.0,
            "seed": self.workload.seed,
        }
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        if self.workload.ignore_eos and not side.strict:
            body["ignore_eos"] = True
        return json.dumps(body).encode()

    def _prompt(self, key: str) -> str:
        """Words drawn by the key: the same key gives the same prompt, another one differs from its first words on."""
        shared = random.Random(f"{self.workload.seed}/shared").choices(WORDS, k=min(self._words_shared, self._words))
        own = random.Random(key).choices(WORDS, k=self._words - len(shared))
        return " ".join([*shared, *own])

    async def _calibrate(self, client: "Client") -> None:
        """Find how many words make the wanted prompt, from two prompts whose length the server tells."""
        side = self.sides[0]
        wanted = self.workload.prompt_tokens
        lengths = (max(1, wanted // 4), max(9, wanted // 2 + 8))
        told: list[int | None] = []
        for words in lengths:
            prompt = " ".join(random.Random(f"{self.workload.seed}/calibration/{words}").choices(WORDS, k=words))
            body = self._body(side, prompt, 1, stream=False)
            async with client.call(side.url, "POST", PATH, body=body, token=side.api_key, timeout_s=300) as reply:
                await check(reply)
                usage = _chunk(await reply.read()).usage
                told.append(usage.prompt_tokens if usage else None)
        few, many = told
        if few is None or many is None or many <= few:
            return
        per_word = (many - few) / (lengths[1] - lengths[0])
        self._words = max(1, round((wanted - (few - per_word * lengths[0])) / per_word))
        self._words_shared = round(self.workload.shared_prefix_tokens / per_word)
        self.prompt_is_calibrated = True


async def _read_stream(reply: "Reply", sample: Sample, began: float) -> None:
    splitter = EventSplitter()
    last, finished = 0.0, False
    async for piece in reply.chunks():
        now = time.perf_counter()
        for event in splitter.feed(piece):
            data = data_of(event)
            if data == b"[DONE]":
                return
            if not data:
                continue
            chunk = _chunk(data)
            _count(sample, chunk)
            finished = finished or any(one.finish_reason for one in chunk.choices)
            if any(one.delta.content or one.delta.reasoning_content or one.delta.tool_calls for one in chunk.choices):
                if sample.first_s is None:
                    sample.first_s = now - began
                else:
                    sample.gaps_s.append(now - last)
                last = now
    if not finished:  # some servers say no [DONE]
        raise UpstreamBroken("a stream ended before it was complete")


def _chunk(data: bytes) -> Chunk:
    try:
        chunk = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UpstreamBroken(f"the server sent what is no answer: {error}") from error
    if chunk.error:
        raise UpstreamBroken(f"the stream ended in an error: {said(data)}")
    return chunk


def _count(sample: Sample, chunk: Chunk) -> None:
    if chunk.usage:
        sample.prompt_tokens = chunk.usage.prompt_tokens
        sample.output_tokens = chunk.usage.completion_tokens
