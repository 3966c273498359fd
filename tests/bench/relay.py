"""The least a Python gateway can be, for comparison: reads the model's name, forwards, relays. No limits, no log.

python -m tests.bench.relay FD ADDRESS        (ADDRESS is unix:/path or http://host:port)
"""

import socket
import sys
from typing import Any

import aiohttp
import msgspec
import uvicorn


class Head(msgspec.Struct):
    """What routing would need."""

    model: str
    stream: bool = False


class App:
    """Pure ASGI."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._decode = msgspec.json.Decoder(Head).decode
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self._decode(body)
        headers = {"Content-Type": "application/json"}
        if key := next((value for name, value in scope["headers"] if name == b"authorization"), None):
            headers["Authorization"] = key.decode()
        async with self._upstream().post(scope["path"], data=body, headers=headers) as reply:
            names = ("content-type", "content-length")
            kept = [(name.encode(), reply.headers[name].encode()) for name in names if name in reply.headers]
            start = {"type": "http.response.start", "status": reply.status, "headers": kept}
            if "content-length" in reply.headers:
                await send(start)
                await send({"type": "http.response.body", "body": await reply.read()})
                return
            await send(start)
            while chunk := await reply.content.readany():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    def _upstream(self) -> aiohttp.ClientSession:
        if self._session is None:
            unix = self._address.startswith("unix:")
            path = self._address.removeprefix("unix:")
            connector = aiohttp.UnixConnector(path, limit=0) if unix else aiohttp.TCPConnector(limit=0)
            base = "http://relay" if unix else self._address
            self._session = aiohttp.ClientSession(
                base, connector=connector, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session


def main() -> None:
    fd, address = sys.argv[1:]
    config = uvicorn.Config(
        App(address), loop="uvloop", http="httptools", ws="none", lifespan="off", log_level="critical", access_log=False
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(fd))])


if __name__ == "__main__":
    main()
