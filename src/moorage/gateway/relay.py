"""From one engine to one client: the reply as it comes, edited only where named, its usage read on the way."""

from typing import Any

import msgspec

from moorage.dialects.openai_fold import Fold
from moorage.errors import BadRequest, UpstreamBroken, UpstreamError
from moorage.gateway import tokens
from moorage.gateway.call import Call
from moorage.gateway.edits import folds, path_at
from moorage.gateway.events import FINISH, Events, raise_error, silent
from moorage.gateway.exchange import Exchange
from moorage.gateway.refusal import refusal
from moorage.gateway.usage import usage_of
from moorage.http.client import Client, PendingReply, Reply
from moorage.http.deadline import Deadline
from moorage.http.upload import Upload
from moorage.wire import body, sse
from moorage.wire.table import Settings, TargetRow

REPLY_BYTES_MAX = 256 * 1024 * 1024
"""An answer larger than this is a fault of the engine, not something to hold in memory."""

TEXT = frozenset({"text/plain", "text/vtt", "application/x-subrip"})
"""What a reply may be instead of JSON, on surfaces that take forms. Nothing that a browser would run."""

_encode = msgspec.json.Encoder().encode


class Relay:
    """One attempt at one target. `run` returns when the client has the whole reply."""

    def __init__(
        self, call: Call, target: TargetRow, exchange: Exchange, client: Client, settings: Settings, deadline: Deadline
    ) -> None:
        self._call = call
        self._target = target
        self._exchange = exchange
        self._client = client
        self._settings = settings
        self._deadline = deadline

    async def run(self, content: bytes | Upload) -> None:
        """Raises UpstreamError (`exchange.started` tells whether before the first byte) or what the engine refused."""
        call, target = self._call, self._target
        call.phase = "prefill"
        path = path_at(call, target)
        if target.manners.tokens != "vllm" and path in tokens.PATHS and isinstance(content, bytes):
            await self._respond(await tokens.translated(path, content, call, self._ask))
            return
        async with self._send(path, content) as reply:
            await self._accept(reply)
            if call.stream:
                await self._stream(reply)
            elif folds(call, target):
                await self._folded(reply)
            else:
                await self._whole(reply)

    def _send(self, path: str, content: bytes | Upload) -> PendingReply:
        target = self._target
        return self._client.call(
            target.address,
            "POST",
            path,
            body=content,
            token=target.token,
            headers={"X-Request-Id": self._call.id},
            connect_timeout_s=self._settings.connect_timeout_s,
            name=target.id,
        )

    async def _accept(self, reply: Reply) -> None:
        if reply.status != 200:
            secret, retry_after = self._target.token, reply.headers.get("retry-after")
            raise refusal(reply.status, await reply.read(), retry_after, secret=secret)

    async def _ask(self, path: str, content: bytes) -> bytes:
        """A step of a call that takes several."""
        async with self._send(path, content) as reply:
            await self._accept(reply)
            return await reply.read()

    async def _whole(self, reply: Reply) -> None:
        content = bytearray()
        async for chunk in reply.chunks():
            content += chunk
            _check_size(len(content))
        kind = reply.content_type.partition(";")[0].strip().lower()
        if self._call.surface.form and kind in TEXT:
            self._call.phase = "done"
            await self._exchange.respond(bytes(content), content_type=f"{kind}; charset=utf-8".encode())
        else:
            await self._respond(bytes(content))

    async def _folded(self, reply: Reply) -> None:
        """A whole reply out of the stream of an engine that stops only streams when their client leaves."""
        _check_stream(reply)
        fold, splitter, size, finished = Fold(), sse.EventSplitter(), 0, False
        async for chunk in reply.chunks():
            size += len(chunk)
            _check_size(size)
            for event in splitter.feed(chunk):
                raise_error(event)
                finished = finished or FINISH in event
                data = sse.data_of(event)
                if data == b"[DONE]":
                    await self._respond(_encode(fold.body()))
                    return
                if data is not None and not silent(data):
                    fold.add(_chunk(data))
        if finished and not self._target.manners.says_done:
            await self._respond(_encode(fold.body()))
            return
        raise UpstreamBroken("the engine's stream ended before it was complete")

    async def _respond(self, content: bytes) -> None:
        try:
            fields = body.parse(content)
        except BadRequest as error:
            raise UpstreamBroken("the engine's reply is not a JSON object") from error
        self._call.usage = usage_of(fields)
        if not self._target.echoes_model and "model" in fields:
            fields["model"] = body.value(self._call.asked)
            content = body.join(fields)
        self._call.phase = "done"
        await self._exchange.respond(content)

    async def _stream(self, reply: Reply) -> None:
        _check_stream(reply)
        events = Events(self._call, self._target)
        async for chunk in reply.chunks():
            self._deadline.touch()
            kept, failure = events.feed(chunk)
            if failure is not None and not self._exchange.started:
                raise failure
            if kept:
                await self._forward(kept)
            if failure is not None:
                raise failure
            if events.done:
                self._call.phase = "done"
                await self._exchange.end()
                return
        if events.finished and not self._target.manners.says_done:
            self._call.phase = "done"
            await self._forward(sse.DONE)
            await self._exchange.end()
            return
        raise UpstreamBroken("the engine's stream ended before it was complete")

    async def _forward(self, content: bytes) -> None:
        call = self._call
        if not self._exchange.started:
            call.first_token_s = call.elapsed_s()
            call.phase = "decode"
            self._deadline.phase("token", self._settings.token_timeout_s, "server.token_timeout")
            await self._exchange.stream()
        await self._exchange.write(content)


def _check_stream(reply: Reply) -> None:
    if not reply.content_type.startswith("text/event-stream"):
        raise UpstreamError(f"the engine answered a stream with {reply.content_type or 'no content type'!r}")


def _check_size(size: int) -> None:
    if size > REPLY_BYTES_MAX:
        raise UpstreamError(f"the engine's reply is larger than {REPLY_BYTES_MAX} bytes")


def _chunk(data: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UpstreamBroken("the engine sent an event that is not a JSON object") from error
