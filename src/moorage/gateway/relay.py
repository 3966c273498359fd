"""From one engine to one client: the reply as it comes, edited only where named, its usage read on the way."""

from typing import Any

import msgspec

from moorage.dialects.openai_fold import Fold
from moorage.errors import (
    BadRequest,
    MoorageError,
    NotFound,
    TooLarge,
    Unavailable,
    UpstreamBroken,
    UpstreamError,
)
from moorage.gateway.call import Call, Usage
from moorage.gateway.edits import folds
from moorage.gateway.exchange import Exchange
from moorage.http.client import Client, Reply
from moorage.http.deadline import Deadline
from moorage.wire import body, sse
from moorage.wire.table import Settings, TargetRow

REPLY_BYTES_MAX = 256 * 1024 * 1024
"""An answer larger than this is a fault of the engine, not something to hold in memory."""

RETRY_AFTER_MAX_S = 3600.0

_usage = msgspec.json.Decoder(Usage).decode
_encode = msgspec.json.Encoder().encode


class _EngineError(msgspec.Struct):
    """An engine's error body, in the spellings seen: OpenAI's, FastAPI's, plain."""

    class Inner(msgspec.Struct):
        message: str = ""
        param: str | None = None
        code: str | int | None = None

    error: Inner | str | None = None
    detail: object = None
    message: str = ""


_error = msgspec.json.Decoder(_EngineError).decode


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
        self._done = False

    async def run(self, content: bytes) -> None:
        """Raises UpstreamError (`exchange.started` tells whether before the first byte) or what the engine refused."""
        call, target = self._call, self._target
        call.phase = "prefill"
        async with self._client.call(
            target.address,
            "POST",
            call.surface.path,
            body=content,
            token=target.token,
            headers={"X-Request-Id": call.id},
            connect_timeout_s=self._settings.connect_timeout_s,
            name=target.id,
        ) as reply:
            if reply.status != 200:
                raise refusal(reply.status, await reply.read(), reply.headers.get("retry-after"))
            if call.stream:
                await self._stream(reply)
            elif folds(call, target):
                await self._folded(reply)
            else:
                await self._whole(reply)

    async def _whole(self, reply: Reply) -> None:
        content = bytearray()
        async for chunk in reply.chunks():
            content += chunk
            _check_size(len(content))
        await self._respond(bytes(content))

    async def _folded(self, reply: Reply) -> None:
        """A whole reply out of the stream of an engine that stops only streams when their client leaves."""
        _check_stream(reply)
        fold, splitter, size = Fold(), sse.EventSplitter(), 0
        async for chunk in reply.chunks():
            size += len(chunk)
            _check_size(size)
            for event in splitter.feed(chunk):
                self._raise_error(event)
                data = sse.data_of(event)
                if data == b"[DONE]":
                    await self._respond(_encode(fold.body()))
                    return
                if data is not None:
                    fold.add(_chunk(data))
        raise UpstreamBroken("the engine's stream ended before it was complete")

    async def _respond(self, content: bytes) -> None:
        try:
            fields = body.parse(content)
        except BadRequest as error:
            raise UpstreamBroken("the engine's reply is not a JSON object") from error
        if (usage := fields.get("usage")) is not None:
            self._read_usage(bytes(usage))
        if not self._target.echoes_model and "model" in fields:
            fields["model"] = body.value(self._call.asked)
            content = body.join(fields)
        self._call.phase = "done"
        await self._exchange.respond(content)

    async def _stream(self, reply: Reply) -> None:
        _check_stream(reply)
        splitter = sse.EventSplitter()
        async for chunk in reply.chunks():
            self._deadline.touch()
            if splitter.between and (whole := self._plain(chunk)) is not None:
                await self._forward(whole)
                continue
            kept, failure = self._events(splitter.feed(chunk))
            if failure is not None and not self._exchange.started:
                raise failure
            if kept:
                await self._forward(kept)
            if failure is not None:
                raise failure
            if self._done:
                self._call.phase = "done"
                await self._exchange.end()
                return
        raise UpstreamBroken("the engine's stream ended before it was complete")

    def _plain(self, chunk: bytes) -> bytes | None:
        """What the client gets of a chunk of whole events that hold nothing to read or edit: most chunks are such.

        A quote inside a JSON string is escaped, so these byte sequences are never a client's text.
        """
        if not self._target.echoes_model or not chunk.endswith(b"\n\n") or b"\r" in chunk:
            return None
        if b"[DONE]" in chunk or b'"error"' in chunk:
            return None
        if usages := chunk.count(b'"usage"'):
            if usages != chunk.count(b',"usage":null'):
                return None
            if not self._call.wants_usage:
                chunk = chunk.replace(b',"usage":null', b"")
        self._call.chunks += chunk.count(b"\n\n")
        return chunk

    def _events(self, events: list[bytes]) -> tuple[bytes, UpstreamError | None]:
        """What of these the client gets, and the failure that cuts them short."""
        kept: list[bytes] = []
        for event in events:
            try:
                edited = self._event(event)
            except UpstreamError as error:
                return b"".join(kept), error
            if edited is not None:
                kept.append(edited)
        return b"".join(kept), None

    async def _forward(self, content: bytes) -> None:
        call = self._call
        if not self._exchange.started:
            call.first_token_s = call.elapsed_s()
            call.phase = "decode"
            self._deadline.phase("token", self._settings.token_timeout_s, "server.token_timeout")
            await self._exchange.stream()
        await self._exchange.write(content)

    def _event(self, event: bytes) -> bytes | None:
        """The event as the client gets it; None for one it did not ask for."""
        call = self._call
        if event == sse.DONE or (b"[DONE]" in event and sse.data_of(event) == b"[DONE]"):
            self._done = True
            return sse.DONE
        if b'"error"' in event:
            self._raise_error(event)
        if b'"usage"' not in event and self._target.echoes_model:
            call.chunks += 1
            return event
        data = sse.data_of(event)
        if data is None:
            return event
        try:
            fields = body.parse(data)
        except BadRequest as error:
            raise UpstreamBroken("the engine sent an event that is not a JSON object") from error
        usage = fields.pop("usage", None) if not call.wants_usage else fields.get("usage")
        if usage is not None and bytes(usage) != b"null":
            self._read_usage(bytes(usage))
            if not call.wants_usage and bytes(fields.get("choices", b"")).strip() == b"[]":
                return None
        else:
            call.chunks += 1
        if not self._target.echoes_model and "model" in fields:
            fields["model"] = body.value(call.asked)
        return sse.event(body.join(fields))

    def _raise_error(self, event: bytes) -> None:
        data = sse.data_of(event)
        if data is None:
            return
        try:
            fields = body.parse(data)
        except BadRequest:
            return
        if "error" in fields and "choices" not in fields:
            raise UpstreamError(_message(data) or "the engine reported an error in its stream")

    def _read_usage(self, raw: bytes) -> None:
        try:
            usage = _usage(raw) if raw != b"null" else None
        except msgspec.DecodeError as error:
            raise UpstreamError("the engine's usage block is malformed") from error
        self._call.usage = usage or self._call.usage


def _check_stream(reply: Reply) -> None:
    if not reply.content_type.startswith("text/event-stream"):
        raise UpstreamError(f"the engine answered a stream with {reply.content_type or 'no content type'!r}")


def _check_size(size: int) -> None:
    if size > REPLY_BYTES_MAX:
        raise UpstreamError(f"the engine's reply is larger than {REPLY_BYTES_MAX} bytes")


def _chunk(data: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise UpstreamBroken("the engine sent an event that is not a JSON object") from error


def refusal(status: int, content: bytes, retry_after: str | None) -> MoorageError:
    """An engine's error reply as ours: its words kept where they concern the caller, its status mapped."""
    message = _message(content) or f"the engine answered {status}"
    param, code = _origin(content)
    if status in (401, 403):
        return UpstreamError("the engine refused the gateway's credentials")
    if status == 404:
        return NotFound(message, param=param, code=code)
    if status == 413:
        return TooLarge(message, param=param, code=code)
    if 400 <= status < 500 and status not in (408, 429):
        return BadRequest(message, param=param, code=code)
    if status in (408, 429, 503):
        known = retry_after is not None and retry_after.isascii() and retry_after.isdigit()
        seconds = min(float(retry_after), RETRY_AFTER_MAX_S) if retry_after and known else 1.0
        return Unavailable(message, retry_after_s=seconds)
    return UpstreamError(message)


def _message(content: bytes) -> str:
    try:
        parsed = _error(content)
    except msgspec.DecodeError:
        return ""
    if isinstance(parsed.error, _EngineError.Inner):
        return parsed.error.message
    return parsed.error or parsed.message or (str(parsed.detail) if parsed.detail else "")


def _origin(content: bytes) -> tuple[str | None, str | None]:
    try:
        inner = _error(content).error
    except msgspec.DecodeError:
        return None, None
    if not isinstance(inner, _EngineError.Inner):
        return None, None
    return inner.param, inner.code if isinstance(inner.code, str) else None
