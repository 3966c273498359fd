"""The form of a call, read as it comes: its file goes to disk, its fields stay in memory.

The file has no name (mode 0600, gone with its descriptor), so that nothing is left whatever becomes of this process.
"""

import asyncio
import errno
import logging
import re
import tempfile
from dataclasses import dataclass, field
from types import TracebackType
from typing import BinaryIO, Self, cast

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from moorage.errors import BadRequest, NoRoom, TooLarge, UnsupportedType
from moorage.runtimes.host.asgi import ClientGone, Receive, Scope
from moorage.wire.api.audio import FILE

PARTS_MAX = 1000
FIELDS_BYTES_MAX = 1024 * 1024
"""All fields together."""
PIECE_BYTES = 256 * 1024
"""Written at once."""
RETRY_AFTER_S = 10.0

_PLAIN_ENCODINGS = (b"", b"7bit", b"8bit", b"binary")


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
        headers: dict[bytes, bytes] = dict(scope["headers"])
        form = _Form(boundary_of(headers.get(b"content-type", b"")))
        length = headers.get(b"content-length", b"")
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
                if len(form.held) >= PIECE_BYTES or not more:
                    await asyncio.to_thread(self._file.write, form.taken())
            await asyncio.to_thread(self._file.flush)
        except OSError as error:
            raise _no_room(error, self._folder) from error
        self.fields = form.finished()

    def _check(self, size: int) -> None:
        if size > self._limit_bytes:
            raise TooLarge(f"the form is larger than {self._limit_bytes} bytes, the most this model takes", param=FILE)


def _no_room(error: OSError, folder: str) -> NoRoom:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    what = "there is no room left for uploads" if full else f"uploads cannot be kept: {error.strerror or error}"
    return NoRoom(f"{what} (in {folder}); try again later, or free space there", retry_after_s=RETRY_AFTER_S)


def boundary_of(content_type: bytes) -> bytes:
    """Raises UnsupportedType for a body that is no form, BadRequest for one without a boundary."""
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        said = content_type[:100].decode("latin-1")
        raise UnsupportedType(f"send the recording as multipart/form-data; the content-type is {said!r}")
    boundary = options.get(b"boundary", b"")
    if not boundary or len(boundary) > 256:
        raise BadRequest("the content-type names no usable boundary of the form's parts")
    return boundary


@dataclass
class _Part:
    headers: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    name: str = ""
    value: bytearray = field(default_factory=bytearray)


class _Form:
    """multipart/form-data (RFC 7578) without I/O: feed → finished."""

    def __init__(self, boundary: bytes) -> None:
        self.held = bytearray()
        """Of the file, not taken yet."""
        self._fields: list[tuple[str, str]] = []
        self._part = _Part()
        self._header = (bytearray(), bytearray())
        self._parts = self._bytes = 0
        self._has_file = self._complete = self._begun = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begin,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_end,
                "on_part_data": self._part_data,
                "on_part_end": self._part_end,
                "on_end": self._end,
            },
        )
        # What clients send wrong is answered, not logged.
        self._parser.logger = logging.getLogger(f"{__name__}.parser")
        self._parser.logger.setLevel(logging.CRITICAL)

    def feed(self, piece: bytes) -> None:
        """Raises BadRequest, TooLarge."""
        if not self._begun:
            piece = piece.lstrip(b"\r\n")
            self._begun = bool(piece)
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise BadRequest(f"the form is malformed: {error}") from error

    def taken(self) -> bytes:
        piece = bytes(self.held)
        self.held.clear()
        return piece

    def finished(self) -> list[tuple[str, str]]:
        """The fields, in order. Raises BadRequest for a form that is cut, or without a file."""
        if not self._begun:
            raise BadRequest(f"the request body is empty; send a form with the recording as {FILE!r}")
        if not self._complete:
            raise BadRequest("the form is cut: it ends before its closing boundary")
        if not self._has_file:
            raise BadRequest(f"{FILE} is required: the recording", param=FILE, code="missing_required_parameter")
        return self._fields

    def _part_begin(self) -> None:
        self._part = _Part()
        self._parts += 1
        if self._parts > PARTS_MAX:
            raise TooLarge(f"the form has more than {PARTS_MAX} parts")

    def _header_name(self, data: bytes, begin: int, end: int) -> None:
        self._header[0].extend(data[begin:end])

    def _header_value(self, data: bytes, begin: int, end: int) -> None:
        self._header[1].extend(data[begin:end])

    def _header_end(self) -> None:
        name, value = self._header
        self._part.headers[bytes(name).lower()] = bytes(value)
        self._header = (bytearray(), bytearray())

    def _headers_end(self) -> None:
        kind, options = parse_options_header(self._part.headers.get(b"content-disposition", b""))
        if kind != b"form-data" or b"name" not in options:
            raise BadRequest("a part of the form has no 'Content-Disposition: form-data; name=…'")
        self._part.name = name = _decoded(options[b"name"], "the name of a part")
        if self._part.headers.get(b"content-transfer-encoding", b"").strip().lower() not in _PLAIN_ENCODINGS:
            raise BadRequest(f"{name}: send its bytes as they are, in no transfer encoding", param=name)
        if name == FILE:
            if self._has_file:
                raise BadRequest(f"{FILE} comes twice in the form; send one recording a call", param=FILE)
            self._has_file = True

    def _part_data(self, data: bytes, begin: int, end: int) -> None:
        if self._part.name == FILE:
            self.held += data[begin:end]
            return
        self._bytes += end - begin
        if self._bytes > FIELDS_BYTES_MAX:
            raise TooLarge(f"the form's fields are larger than {FIELDS_BYTES_MAX} bytes together")
        self._part.value += data[begin:end]

    def _part_end(self) -> None:
        part = self._part
        if part.name != FILE:
            self._fields.append((part.name, _decoded(bytes(part.value), part.name)))

    def _end(self) -> None:
        self._complete = True


def _decoded(value: bytes, what: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"{re.sub(r'[^ -~]', '?', what[:100])} is not UTF-8") from error
