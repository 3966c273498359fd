"""An engine that costs nothing: replies rendered beforehand, on sockets it inherits.

    python -m tests.bench.backend FD...

A chat completion of some 400 bytes, or a stream of 64 chunks, one usage chunk and `[DONE]`. Each chunk is written in a
turn of the event loop of its own, as an engine that takes a step for each token does; a paced stream has 5 ms between
them, so that none meets the next on its way.
"""

import asyncio
import json
import socket
import sys
from typing import Any, cast

import uvloop

CHUNKS = 64
MODEL = "bench/model"
USAGE = {"prompt_tokens": 100, "completion_tokens": CHUNKS, "total_tokens": 100 + CHUNKS}
PACED = b'"user":"paced"'
"""Where a body holds it, its stream's chunks come one by one."""
PACE_S = 0.005
HEADER_BYTES_MAX = 64 * 1024


def _unary() -> bytes:
    message = {"role": "assistant", "content": "A reply of a few words. " * 3, "refusal": None}
    body = {
        "id": "chatcmpl-0123456789abcdef",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": USAGE,
    }
    content = json.dumps(body).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(content)
    return head + content


def _event(choices: list[dict[str, Any]], usage: dict[str, int] | None) -> bytes:
    chunk = {
        "id": "chatcmpl-0123456789abcdef",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": MODEL,
        "choices": choices,
    } | ({"usage": usage} if usage else {})
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def _stream() -> list[bytes]:
    """What is written for a stream, piece by piece. X-Accel-Buffering tells nginx that this one is not to be kept."""
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
        b"X-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    token = _event([{"index": 0, "delta": {"content": " word"}, "logprobs": None, "finish_reason": None}], None)
    tokens = [_chunked(token) for _ in range(CHUNKS)]
    last = _chunked(_event([], USAGE)) + _chunked(b"data: [DONE]\n\n") + b"0\r\n\r\n"
    return [head + tokens[0], *tokens[1:], last]


def _chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


UNARY = _unary()
STREAM = _stream()


class Backend(asyncio.Protocol):
    """One connection, kept alive. Knows as much of HTTP as the clients of this benchmark speak."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._buffer = b""
        self._lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data if self._buffer else data
        split = data.find(b"\r\n\r\n")
        if split < 0 or len(data) < split + 4 + _length(data[:split]):
            self._buffer = data
            if split < 0 and len(data) > HEADER_BYTES_MAX:
                self._transport.abort()
            return
        self._buffer = b""
        if data.find(b'"stream":true', split) < 0:
            self._transport.write(UNARY)
        else:
            self._step(0, PACE_S if data.find(PACED, split) >= 0 else 0.0)

    def _step(self, number: int, pace_s: float) -> None:
        if self._lost:
            return
        self._transport.write(STREAM[number])
        if number + 1 == len(STREAM):
            return
        if pace_s:
            self._loop.call_later(pace_s, self._step, number + 1, pace_s)
        else:
            self._loop.call_soon(self._step, number + 1, pace_s)


def _length(head: bytes) -> int:
    head = head.lower()
    at = head.find(b"\r\ncontent-length:")
    return int(head[at + 17 :].partition(b"\r\n")[0]) if at >= 0 else 0


async def serve(listeners: list[socket.socket]) -> None:
    loop = asyncio.get_running_loop()
    servers: list[asyncio.AbstractServer] = []
    for listener in listeners:
        create = loop.create_unix_server if listener.family == socket.AF_UNIX else loop.create_server
        servers.append(await create(Backend, sock=listener))
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    uvloop.run(serve([socket.socket(fileno=int(fd)) for fd in sys.argv[1:]]))
