"""A request's body that is sent as it is read, and never held as a whole."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Upload:
    """Type and length are known before the first byte is read."""

    content_type: str
    length_bytes: int
    pieces: Callable[[], AsyncIterator[bytes]]
    """Begins to read from the start. Together the pieces are exactly `length_bytes` long."""


class Sending:
    """An upload being read by the client library. `close` lets go of its source, which the library would keep."""

    __slots__ = ("_pieces",)

    def __init__(self, upload: Upload) -> None:
        self._pieces: AsyncIterator[bytes] | None = upload.pieces()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._pieces is None:
            raise StopAsyncIteration
        return await anext(self._pieces)

    def close(self) -> None:
        self._pieces = None
