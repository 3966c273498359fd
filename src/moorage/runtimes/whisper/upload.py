"""The form of a call, read as it comes: its file goes to disk, its fields stay in memory.

The file has no name (mode 0600, gone with its descriptor), so that nothing is left whatever becomes of this process.
"""

import asyncio
import errno
import tempfile
from types import TracebackType
from typing import BinaryIO, Self, cast

from moorage.errors import BadRequest, NoRoom, TooLarge
from moorage.runtimes.host.asgi import ClientGone, Receive, Scope
from moorage.wire.api.audio import FILE
from moorage.wire.multipart import Field, FormReader

PIECE_BYTES = 256 * 1024
"""Written at once."""
RETRY_AFTER_S = 10.0


class Upload:
    """A form that arrives: construct → receive → take the file, read the fields → close, which a `with` does."""

    def __init__(self, folder: str, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._folder = folder
        self._file: BinaryIO | None = None
        self.fields: list[tuple[str, str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def taken(self) -> BinaryIO:
        """The file, from its start; closing it is the caller's from now on."""
        file, self._file = self._file, None
        assert file is not None
        file.seek(0)
        return file

    def close(self) -> None:
        """Idempotent."""
        if self._file is not None:
            self._file.close()
            self._file = None

    async def receive(self, scope: Scope, receive: Receive) -> None:
        """Raises BadRequest, UnsupportedType, TooLarge, NoRoom, ClientGone."""
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        held = bytearray()
        form = FormReader(
            [value.decode("latin-1") for name, value in headers if name == b"content-type"], on_file=held.extend
        )
        length = dict(headers).get(b"content-length", b"")
        self._check(int(length) if length.isdigit() else 0)
        size, more = 0, True
        try:
            self._file = cast("BinaryIO", tempfile.TemporaryFile(dir=self._folder))  # noqa: SIM115
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                piece: bytes = message.get("body", b"")
                more = message.get("more_body", False)
                size += len(piece)
                self._check(size)
                form.feed(piece)
                if len(held) >= PIECE_BYTES or not more:
                    await asyncio.to_thread(self._file.write, bytes(held))
                    held.clear()
            await asyncio.to_thread(self._file.flush)
        except OSError as error:
            raise _no_room(error, self._folder) from error
        form.finish()
        self.fields = [(field.name, _text(field)) for field in form.fields]

    def _check(self, size: int) -> None:
        if size > self._limit_bytes:
            raise TooLarge(f"the form is larger than {self._limit_bytes} bytes, the most this model takes", param=FILE)


def _no_room(error: OSError, folder: str) -> NoRoom:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    what = "there is no room left for uploads" if full else f"uploads cannot be kept: {error.strerror or error}"
    return NoRoom(f"{what} (in {folder}); try again later, or free space there", retry_after_s=RETRY_AFTER_S)


def _text(field: Field) -> str:
    try:
        return field.value.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"{field.name[:100]!r} is not UTF-8", param=field.name[:100]) from error
