"""A chat with a model: what was said, and one answer after another."""

import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from moorage.cli.endpoint import Endpoint, check
from moorage.errors import ModelNotFound, MoorageError, UpstreamBroken
from moorage.http.refusal import said
from moorage.wire.sse import EventSplitter, data_of

if TYPE_CHECKING:
    from moorage.http.client import Client, Reply

PATH = "/v1/chat/completions"


@dataclass
class Answer:
    """One reply and how it came. Times in seconds since the call was sent."""

    text: str = ""
    finish_reason: str | None = None
    tokens: int | None = None
    first_s: float | None = None
    total_s: float = 0.0
    body: bytes = b""
    """The reply as it came, where it was not streamed."""

    @property
    def tokens_per_s(self) -> float | None:
        """While it was being written; None where that cannot be told."""
        if self.tokens is None or self.tokens < 2 or self.first_s is None or self.total_s <= self.first_s:
            return None
        return (self.tokens - 1) / (self.total_s - self.first_s)


@dataclass
class Conversation:
    """The messages so far. A question enters them with its answer, also with one cut short by the user."""

    client: "Client"
    endpoint: Endpoint
    model: str
    system: str = ""
    sampling: dict[str, Any] = field(default_factory=dict[str, Any])
    stream: bool = True
    messages: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    answer: Answer = field(default_factory=Answer)

    async def ask(self, text: str) -> AsyncGenerator[str]:
        """The answer's pieces as they come.

        Raises UpstreamUnreachable, Refused, UpstreamBroken (also for a stream that ends before its time).
        """
        question = {"role": "user", "content": text}
        opening = [{"role": "system", "content": self.system}] if self.system else []
        body: dict[str, Any] = {"model": self.model, "messages": [*opening, *self.messages, question], **self.sampling}
        if self.stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        self.answer = answer = Answer()
        began = time.monotonic()
        whole = False
        try:
            async with self.client.call(
                self.endpoint.url, "POST", PATH, body=json.dumps(body).encode(), token=self.endpoint.api_key
            ) as reply:
                await check(reply)
                async with aclosing(self._pieces(reply, answer)) as pieces:
                    async for piece in pieces:
                        if answer.first_s is None and self.stream:
                            answer.first_s = time.monotonic() - began
                        answer.text += piece
                        answer.total_s = time.monotonic() - began
                        yield piece
            whole = True
        except MoorageError:
            answer.text = ""
            raise
        finally:
            if whole or answer.text:
                self.messages += [question, {"role": "assistant", "content": answer.text}]

    async def _pieces(self, reply: "Reply", answer: Answer) -> AsyncGenerator[str]:
        if not reply.content_type.startswith("text/event-stream"):
            answer.body = await reply.read()
            yield _read(answer, answer.body, "message")
            return
        splitter = EventSplitter()
        async for chunk in reply.chunks():
            for event in splitter.feed(chunk):
                data = data_of(event)
                if data == b"[DONE]":
                    return
                if data and (piece := _read(answer, data, "delta")):
                    yield piece
        raise UpstreamBroken("the stream ended before the answer was complete")

    async def models(self) -> list[str]:
        """The names the server offers."""
        return await self.endpoint.chat_models(self.client)

    async def has(self, model: str) -> bool:
        """Whether the server knows the name, be it an alias."""
        path = f"/v1/models/{quote(model, safe='/:@+')}"
        async with self.client.call(self.endpoint.url, "GET", path, token=self.endpoint.api_key, timeout_s=10) as reply:
            if reply.status == 404:
                return False
            await check(reply)
            return True

    async def choose(self, model: str) -> None:
        """Talk to `model` from now on; with an empty name, to the first there is. Raises ModelNotFound."""
        if model and await self.has(model):
            self.model = model
            return
        names = await self.models()
        if model in names or (names and not model):
            self.model = model or names[0]
            return
        offer = f"there are: {', '.join(names)}" if names else "there is none to chat with"
        raise ModelNotFound(f"no model {model!r} at {self.endpoint.url}; {offer}" if model else f"{offer} here")


def _read(answer: Answer, data: bytes, key: str) -> str:
    """Take what a chunk or a whole reply says into the answer; its text is returned."""
    try:
        value: Any = json.loads(data)
        if value.get("error"):
            raise UpstreamBroken(f"the server broke off: {said(data)}")
        if usage := value.get("usage"):
            answer.tokens = usage.get("completion_tokens")
        choices: list[dict[str, Any]] = value.get("choices") or []
        if not choices:
            return ""
        answer.finish_reason = choices[0].get("finish_reason") or answer.finish_reason
        return choices[0][key].get("content") or ""
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UpstreamBroken(f"the server sent what is no answer: {data[:80]!r}") from None
