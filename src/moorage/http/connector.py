"""aiohttp's connectors, for connections that are gone when they are closed."""

import asyncio
import functools
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler


class _Abrupt(ResponseHandler):
    """Closing drops what was not sent yet. Left to itself a transport waits, perhaps for ever, until the other side has
    read it: an engine that hangs in the middle of an upload would keep the connection and all it holds."""

    def close(self) -> None:
        if self.transport is not None and self.transport.get_write_buffer_size():
            self.abort()
        else:
            super().close()


class UnixConnector(aiohttp.UnixConnector):
    def __init__(self, path: str, **options: Any) -> None:
        super().__init__(path, **options)
        self._factory = functools.partial(_Abrupt, loop=asyncio.get_running_loop())


class TcpConnector(aiohttp.TCPConnector):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)  # pyright: ignore[reportUnknownMemberType]
        self._factory = functools.partial(_Abrupt, loop=asyncio.get_running_loop())
