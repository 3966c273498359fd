"""ASGI as this host uses it: reading a bounded body, noticing that the client left, answering JSON."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any

import msgspec

from moorage.errors import MoorageError, TooLarge

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BODY_BYTES_MAX = 64 * 1024 * 1024
"""The gateway's own limit is the user's to set and lower."""

encode = msgspec.json.Encoder().encode


class ClientGone(Exception):
    """The client closed its connection before its request was whole."""


async def body_of(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > BODY_BYTES_MAX:
            raise TooLarge(f"the body is larger than {BODY_BYTES_MAX} bytes")
        parts.append(part)
        more = message.get("more_body", False)
    return b"".join(parts)


async def while_connected(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Run `work` and cancel it when the client leaves, which the server says only to who asks."""
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_disconnect(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def start(send: Send, status: int, content_type: bytes, *more: tuple[bytes, bytes]) -> None:
    await send(
        {"type": "http.response.start", "status": status, "headers": [(b"content-type", content_type), *more]},
    )


async def start_events(send: Send) -> None:
    """Of a stream of server-sent events."""
    await start(send, 200, b"text/event-stream; charset=utf-8", (b"cache-control", b"no-cache"))


async def reply(send: Send, status: int, body: bytes, content_type: bytes, *more: tuple[bytes, bytes]) -> None:
    await start(send, status, content_type, (b"content-length", str(len(body)).encode()), *more)
    await send({"type": "http.response.body", "body": body})


async def reply_json(send: Send, body: Any, status: int = 200, *more: tuple[bytes, bytes]) -> None:
    await reply(send, status, encode(body), b"application/json", *more)


async def reply_error(send: Send, error: MoorageError) -> None:
    more = [(name.encode(), value.encode()) for name, value in error.headers().items()]
    await reply_json(send, error.openai(), error.status, *more)
