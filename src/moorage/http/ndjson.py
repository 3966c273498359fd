"""Streams of one JSON object a line, as the controller sends them: endless, and never silent for long."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import AsyncExitStack, contextmanager

from moorage.errors import DeadlineExceeded, UpstreamBroken
from moorage.http.client import Client
from moorage.http.refusal import check

LINE_BYTES_MAX = 64 * 1024 * 1024


async def follow(client: Client, address: str, path: str, *, token: str, silence_s: float) -> AsyncGenerator[bytes]:
    """The lines that `GET path` answers, until the server ends them; empty ones, and an unfinished last one, are none.

    Raises Refused for an error, DeadlineExceeded when nothing is heard for `silence_s`, and what a call raises.
    """
    async with AsyncExitStack() as stack:
        with _patience(address, path, silence_s):
            async with asyncio.timeout(silence_s):
                reply = await stack.enter_async_context(client.call(address, "GET", path, token=token))
                await check(reply)
        buffer = bytearray()
        chunks = reply.chunks()
        while chunk := await _next(chunks, address, path, silence_s):
            buffer += chunk
            if b"\n" not in chunk:
                if len(buffer) > LINE_BYTES_MAX:
                    raise UpstreamBroken(f"{address} sent a line of more than {LINE_BYTES_MAX} bytes from {path}")
                continue
            *lines, rest = bytes(buffer).split(b"\n")
            buffer[:] = rest
            for line in lines:
                if line.strip():
                    yield line


async def _next(chunks: AsyncIterator[bytes], address: str, path: str, silence_s: float) -> bytes:
    with _patience(address, path, silence_s):
        async with asyncio.timeout(silence_s):
            return await anext(chunks, b"")


@contextmanager
def _patience(address: str, path: str, silence_s: float) -> Generator[None]:
    try:
        yield
    except TimeoutError as error:
        raise DeadlineExceeded(f"{address} said nothing on {path} for {silence_s:g} s") from error
